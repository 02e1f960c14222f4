"""The commands produce, replay and load."""
