"""``portalpulse demo``: sends the published figures through every real part, and compares the result at the end."""
