"""Recorded events, sent again: where they are read from, and what happens to them on the way."""
