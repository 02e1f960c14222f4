"""Recorded events, sent again: their sources, and how they are transformed."""
