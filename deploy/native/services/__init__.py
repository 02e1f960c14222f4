"""The services of the local stack, one file each."""
