"""Runs portalpulse: on one machine without containers (``native``), in containers, on a cluster."""
