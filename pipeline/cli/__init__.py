"""The command line, one file a command. Other packages add commands through the entry-point group ``portalpulse.commands``."""
