"""The process of ``replica.Replica``: a ClickHouse server that can take part in replication. For tests only.

    python -m tests.clickhouse_cluster.replica_child LIBRARY CONFIG_XML DATA_DIR

The library runs clickhouse-local. It contains all code of replication, but never sets the address at which other replicas fetch
parts, and starts no listener for them, so that its replicated tables stay read-only (an open issue of ClickHouse). This process
changes two functions in its own memory; the file stays as it is:

1. ``Context::getInterserverIOAddress()`` is answered here with host and port of the configuration. At its first call the scheme
   and empty credentials are written to where the server reads them.
2. The second ``<listen_host>`` serves the other replicas: the second call of ``createHandlerFactory`` gets the name of the
   interserver handler.

The offsets belong to one build. The bytes that are replaced are compared first, and any other library is refused;
``find_offsets`` finds those of another build. A production server is clickhouse-server, which needs nothing of this.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pty
import signal
import struct
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

from deploy.native.services.clickhouse_child import SERVE

# Virtual addresses in libchdb.so of 26.7.3-stable.1, as find_offsets prints them.
_GET_ADDRESS = 0x1417C9C0
_GET_ADDRESS_CODE = bytes.fromhex("41 56 53 48 83 ec 48 4c 8b 36 49 0f be 8e 67 01 00 00")
_FACTORY = 0x18395CC0
_FACTORY_CODE = bytes.fromhex("55 41 57 41 56 41 55 41 54 53 48 81 ec 98 00 00 00")  # whole instructions
#: Fields of ContextSharedPart; a Context begins with a pointer to it.
_SCHEME, _CREDENTIALS = 0x170, 0x1B0
#: The function that runs clickhouse-local; not every library of the engine exports it.
_RUN = "chdb_query_cmdline"
_INTERSERVER = b"InterserverIOHTTPHandler-factory"
_REMEDY = (
    "Use the library that deploy/setup.sh --tests installs, or see the docstring of tests/clickhouse_cluster/find_offsets.py."
)
#: What the library points at must live as long as the process.
_KEPT: list[object] = []


def main(arguments: list[str]) -> int:
    """Serve until killed."""
    path, config, folder = arguments
    library = ctypes.CDLL(path)
    if not hasattr(library, _RUN):
        sys.exit(f"{path} cannot serve a replica: it has no function {_RUN}. {_REMEDY}")
    library.chdb_query_cmdline.restype = ctypes.c_void_p
    library.chdb_query_cmdline.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    library.chdb_result_error.restype = ctypes.c_char_p
    library.chdb_result_error.argtypes = [ctypes.c_void_p]
    tree = ET.parse(config).getroot()
    with Path("/proc/self/maps").open(encoding="ascii", errors="replace") as maps:
        base = min(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(path))
    _answer_address(base, tree.findtext("interserver_http_host", ""), int(tree.findtext("interserver_http_port", "0")))
    _serve_replicas(base)
    _, terminal = pty.openpty()
    os.dup2(terminal, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(folder)  # the engine gets no absolute path of data: it would expand "${...}" in the name, for example
    command = [
        *("clickhouse", "--path=./", f"--config-file={config}", "--interactive", "--disable_suggestion", "--progress=off"),
        *("--log-level=warning", "--logger.console", "--output-format=TabSeparated", f"--query={SERVE}"),
    ]
    argv = (ctypes.c_char_p * len(command))(*[os.fsencode(part) for part in command])
    result = library.chdb_query_cmdline(len(command), argv)
    sys.stderr.write(f"{library.chdb_result_error(result)!r}\n")
    return 1


def _answer_address(base: int, host: str, port: int) -> None:
    pair = ctypes.create_string_buffer(48)  # two empty strings: user and password
    at = ctypes.addressof(pair)
    credentials = ctypes.create_string_buffer(72)  # current user, current password, vector of pairs
    ctypes.memmove(ctypes.addressof(credentials) + 48, struct.pack("<QQQ", at, at + 48, at + 48), 24)
    pointer = struct.pack("<QQ", ctypes.addressof(credentials), 0)  # a shared_ptr that owns nothing
    answer = _string(host) + struct.pack("<H", port)
    prepared: set[int] = set()

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    def address(result: int, context: int) -> int:
        shared = ctypes.c_uint64.from_address(context).value
        if shared not in prepared:
            prepared.add(shared)
            ctypes.memmove(shared + _CREDENTIALS, pointer, 16)
            ctypes.memmove(shared + _SCHEME, _string("http"), 24)
        ctypes.memmove(result, answer, len(answer))
        return result

    _KEPT.extend([address, pair, credentials])
    _replace(base + _GET_ADDRESS, _GET_ADDRESS_CODE, _jump(ctypes.cast(address, ctypes.c_void_p).value or 0))


def _serve_replicas(base: int) -> None:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    text, string, counter = at + 0x200, at + 0x240, at + 0x280
    page[0x200 : 0x200 + len(_INTERSERVER) + 1] = _INTERSERVER + b"\0"
    page[0x240:0x258] = struct.pack("<QQQ", text, len(_INTERSERVER), (1 << 63) | (len(_INTERSERVER) + 1))  # a long string
    code = b"\x48\xb8" + struct.pack("<Q", counter)  # movabs rax, counter
    code += b"\xff\x00\x83\x38\x02\x75\x0a"  # inc dword [rax]; cmp dword [rax], 2; jne +10
    code += b"\x48\xb9" + struct.pack("<Q", string)  # movabs rcx, string: the name
    code += _FACTORY_CODE + _jump(base + _FACTORY + len(_FACTORY_CODE))
    page[0 : len(code)] = code
    _KEPT.append(page)
    _replace(base + _FACTORY, _FACTORY_CODE, _jump(at))


def _string(text: str) -> bytes:
    """A short libc++ string: at most 22 bytes in place, the length in the last byte."""
    raw = text.encode()
    assert len(raw) <= 22, text
    return raw.ljust(23, b"\0") + bytes([len(raw)])


def _jump(target: int) -> bytes:
    return b"\x48\xb8" + struct.pack("<Q", target) + b"\xff\xe0"  # movabs rax, target; jmp rax


def _replace(address: int, expected: bytes, code: bytes) -> None:
    found = ctypes.string_at(address, len(expected))
    if found != expected:
        sys.exit(f"This is another build of the engine library: {found.hex(' ')} instead of {expected.hex(' ')}. {_REMEDY}")
    libc = ctypes.CDLL(None, use_errno=True)
    page = address & ~0xFFF
    length = (address + len(code) - page + 0xFFF) & ~0xFFF
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(length), 7) != 0:
        sys.exit(f"mprotect failed: errno {ctypes.get_errno()}.")
    ctypes.memmove(address, code, len(code))
    libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(length), 5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
