"""What is freed goes back to the system; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Threads take and free pieces as a flood does: some megabytes each, from numpy and from Arrow. Prints MB held afterwards.
FLOOD = """
import threading
import numpy as np, psutil, pyarrow as pa
SETUP
before = psutil.Process().memory_info().rss
def work():
    kept = []
    for size in range(20):
        texts = pa.array(np.arange(500_000 + size * 50_000)).cast(pa.string())
        kept.append((np.ones((1 << 20) + size * 100_000, np.uint8), texts))
        kept.append(bytes(2_000))  # a small piece that stays keeps what was taken before it
    small.append([piece for piece in kept if isinstance(piece, bytes)])
small = []
for _ in range(3):
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print((psutil.Process().memory_info().rss - before) // 1_000_000)
"""
SETUP = "from pipeline.freed_memory import return_freed_memory; return_freed_memory()"


@pytest.mark.long
def test_what_a_flood_used_is_returned():
    """After threads have taken and freed gigabytes, the process holds little more than before."""
    program = FLOOD.replace("SETUP", SETUP)
    held = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True).stdout)
    assert held < 300
