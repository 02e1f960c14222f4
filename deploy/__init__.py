"""What puts portalpulse to work: on one machine without containers (``native``), in containers, on a cluster."""
