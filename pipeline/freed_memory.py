"""Makes a process return freed memory to the operating system at once.

By default glibc and Arrow keep freed memory for later use, each on its own, and glibc for each thread. When many messages arrive,
a worker then has up to twice the memory that it uses.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

import pyarrow as pa

#: Parameters of mallopt(3), from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: Larger pieces are taken from the system one by one, and are returned when they are freed (bytes).
_LARGE: Final = 1 << 20
_ARENAS: Final = 2


def return_freed_memory() -> None:
    """Return freed memory at once from now on. Call it once, before threads start. Only Arrow obeys if there is no glibc."""
    pa.set_memory_pool(pa.system_memory_pool())
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
        mallopt(_M_ARENA_MAX, _ARENAS)
