"""Changes recorded events: new ids for a further loop, new times, another pace."""
