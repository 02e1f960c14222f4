"""How messages reach the topic in bulk: packed into record batches, kept in a file, sent as they are."""
