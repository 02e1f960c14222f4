"""One module per board; each has a function that returns the finished board."""
