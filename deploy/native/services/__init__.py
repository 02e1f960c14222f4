"""Every program that the local stack starts, one file each."""
