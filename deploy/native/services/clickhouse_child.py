"""The process behind ``ClickHouseServer``: turns the engine library into an HTTP server and never returns by itself.

    python -m deploy.native.services.clickhouse_child LIBRARY DATA_DIR HTTP_PORT TCP_PORT [OPTION...]

The library runs clickhouse-local; its session sleeps for ever while the listeners answer.

Standard input is a pseudo-terminal and the session is interactive: otherwise clickhouse-local installs an error handler that ends
the whole process (SIGABRT) when a peer resets a connection while the server waits for a request.
"""

from __future__ import annotations

import ctypes
import os
import pty
import signal
import sys

SERVE_FOR_EVER = (
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
    # The controlling end stays open as long as this process: a closed one would end the session.
    _, terminal = pty.openpty()
    os.dup2(terminal, 0)
    # Python's own handlers never run while the library has the main thread: leave the signals to the kernel.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)  # its name is read by nobody: the engine would fill in "${...}", for example
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
        # It is also the default format of HTTP answers: "Null" would make every answer empty.
        "--output-format=TabSeparated",
        f"--query={SERVE_FOR_EVER}",
    ]
    argv = (ctypes.c_char_p * len(command))(*[os.fsencode(part) for part in command])
    result = library.chdb_query_cmdline(len(command), argv)
    sys.stderr.write(f"{library.chdb_result_error(result)!r}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
