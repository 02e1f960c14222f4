"""``portalpulse rehearse``: plays the faults that alerts must survive, on real parts, and shows who was told what."""
