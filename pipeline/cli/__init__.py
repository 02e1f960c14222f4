"""The command line: one file a command; other folders add theirs through the entry-point group ``portalpulse.commands``."""
