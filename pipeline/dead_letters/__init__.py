"""Dead letters: list, show, replay, drop, accept; the service and its routes."""
