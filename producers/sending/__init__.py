"""How messages reach the topic: packed into record batches, sent at a pace, by one process or several."""
