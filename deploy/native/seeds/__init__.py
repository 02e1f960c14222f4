"""``portalpulse seeds``: prints every figure of the published documents beside the one that the product counts."""
