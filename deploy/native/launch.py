"""Replaces itself with a program that is killed when its parent process ends, even by kill -9.

    python -I -S launch.py PARENT_PID PROGRAM [ARGUMENT...]

A launcher instead of ``preexec_fn``: no Python runs between fork and exec of a parent that may have threads.
"""

import ctypes
import os
import signal
import sys

#: From linux/prctl.h: deliver a signal to this process when its parent ends. It stays in force after exec.
PR_SET_PDEATHSIG = 1
#: The exit status of a shell for a program that cannot be started.
CANNOT_START = 127


def main(arguments: list[str]) -> int:
    """Tie this process to its parent and replace it by the program; returns only when that fails."""
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # the parent ended before the line above: nothing would stop this process
        return 1
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the program is what this file is for
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error}\n")
        return CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
