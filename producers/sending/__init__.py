"""Sends messages to the topic: packed into record batches, at a pace, by one or several processes."""
