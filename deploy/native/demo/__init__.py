"""``portalpulse demo``: the published figures through every real part, and the comparison at its end."""
