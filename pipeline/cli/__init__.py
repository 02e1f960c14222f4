"""The command line, one file a command. Other packages add commands through the entry-point group ``portalpulse.commands``."""

import os
import signal
import sys

#: Until the modules of a command are imported, Ctrl-C ends the process with its status and nothing else; ``main`` takes it over.
if sys.argv[0].rpartition("/")[2] in {"portalpulse", "-m"} and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(130))
