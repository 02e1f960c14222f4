"""The commands of this folder: produce, replay and load."""
