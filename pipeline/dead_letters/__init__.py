"""Dead letters: the service that lists, shows, replays, drops and accepts them, its HTTP routes, and the removal of bytes."""
