"""What happens to recorded events on their way: other ids for another loop, other times, another pace."""
