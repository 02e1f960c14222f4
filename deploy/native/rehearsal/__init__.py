"""``portalpulse rehearse``: plays faults on real parts, through which alerts must still work, and shows who was told what."""
