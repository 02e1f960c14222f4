"""The process of ``ClickHouseServer``: runs the engine library as an HTTP server until it is killed.

    python -m deploy.native.services.clickhouse_child LIBRARY DATA_DIR HTTP_PORT TCP_PORT [OPTION...]

The library runs clickhouse-local; its session sleeps while the listeners answer.

Standard input is a pseudo-terminal and the session is interactive: otherwise clickhouse-local installs an error handler that ends
the whole process (SIGABRT) when a peer resets a connection while the server waits for a request.
"""

from __future__ import annotations

import ctypes
import os
import pty
import signal
import sys

SERVE = (
    "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; SELECT sleepEachRow(3) FROM system.numbers"
    " SETTINGS max_block_size=1, function_sleep_max_microseconds_per_block=0 FORMAT Null"
)


def main(arguments: list[str]) -> int:
    """Serve until killed."""
    library_path, folder, http_port, tcp_port, *options = arguments
    library = ctypes.CDLL(library_path)
    library.chdb_query_cmdline.restype = ctypes.c_void_p
    library.chdb_query_cmdline.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    library.chdb_result_error.restype = ctypes.c_char_p
    library.chdb_result_error.argtypes = [ctypes.c_void_p]
    # The controlling end must stay open as long as this process, else the session ends.
    _, terminal = pty.openpty()
    os.dup2(terminal, 0)
    # Python's handlers never run while the library occupies the main thread: the default actions end the process.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)  # the engine gets no absolute path: it would expand "${...}" in the name, for example
    command = [
        "clickhouse",
        "--path=./",
        "--listen_host=127.0.0.1",
        f"--http_port={http_port}",
        f"--tcp_port={tcp_port}",
        "--interactive",
        "--disable_suggestion",
        "--progress=off",
        *options,
        # Also the default format of HTTP answers: with "Null" every answer would be empty.
        "--output-format=TabSeparated",
        f"--query={SERVE}",
    ]
    argv = (ctypes.c_char_p * len(command))(*[os.fsencode(argument) for argument in command])
    result = library.chdb_query_cmdline(len(command), argv)
    sys.stderr.write(f"{library.chdb_result_error(result)!r}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
