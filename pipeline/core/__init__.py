"""Domain core: pure rules of counting and decoding. Nothing here talks to a network, a clock or a disk of its own."""
