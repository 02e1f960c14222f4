"""Coverage-guided fuzzing of decoder and validator with atheris: ``make fuzz ARGS="--minutes 60"``.

Starts from the corpus in ``tests/data/fuzz``, keeps what reaches new code in ``.cache/fuzz``, and writes a minimised corpus back.
A finding ends the run with status 1 and leaves its input beside the corpus as ``crash-...``.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

from tests.fuzz.target import CORPUS, check, corpus

#: Folders whose lines count as covered.
_COVERED = ("/domain/", "/pipeline/decode/")
_FOLDER = Path(".cache/fuzz/decode")
_MAX_BYTES = 16_384
#: Longer inputs are not kept in the repository (bytes).
_LONGEST = 1_024


#: atheris keeps some kilobytes of each run: a process ends before that becomes gigabytes.
_ROUND_SECONDS = 600


def smallest_cover(inputs: Iterable[bytes]) -> list[bytes]:
    """Inputs that together take every step between two lines of the decoder, and get every set of verdicts; small ones first."""
    kept, known = [], set[object]()
    for data in sorted(inputs, key=lambda data: (len(data), data)):
        steps = _steps(data)
        if not steps <= known:
            kept.append(data)
            known |= steps
    return kept


def _steps(data: bytes) -> set[object]:
    """Pairs of lines of domain and pipeline.decode that ran one after the other, and the verdicts."""
    seen: set[object] = set()

    def entered(frame: FrameType, _: str, __: object) -> Callable[..., object] | None:
        code = frame.f_code
        if not any(folder in code.co_filename for folder in _COVERED):
            return None
        before = 0

        def stepped(frame: FrameType, event: str, _: object) -> object:
            nonlocal before
            if event == "line":
                seen.add((code.co_filename + code.co_qualname, before, frame.f_lineno))
                before = frame.f_lineno
            return stepped

        return stepped

    sys.settrace(entered)
    try:
        seen.add(check(data))
    finally:
        sys.settrace(None)
    return seen


def _one_round(found: Path, *, seconds: int, seed: int) -> bool:
    """Fuzz in a process of its own, adding to the folder; returns whether there was no finding."""
    options = {
        "max_len": _MAX_BYTES,
        "artifact_prefix": f"{_FOLDER}/",
        "timeout": 600,  # of one input, on a machine that does other things
        "rss_limit_mb": 4_096,
        "max_total_time": seconds,
        "seed": seed,
        "print_final_stats": 1,
    }
    command = [sys.executable, "-m", "tests.fuzz.engine", *(f"-{name}={value}" for name, value in options.items()), str(found)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as engine:
        assert engine.stderr is not None
        for line in engine.stderr:
            if not re.match(r"#\d+\s+(NEW|REDUCE)", line):
                print(line, end="", flush=True)  # noqa: T201 - a command
    return engine.returncode == 0


def main() -> int:
    """Fuzz for some minutes, then minimise the corpus."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="0 takes one by chance")
    chosen = parser.parse_args()
    found = _FOLDER / "found"
    found.mkdir(parents=True, exist_ok=True)
    for data in corpus():
        (found / hashlib.sha1(data).hexdigest()).write_bytes(data)
    end = time.monotonic() + chosen.minutes * 60
    while (left := end - time.monotonic()) > 0:
        if not _one_round(found, seconds=math.ceil(min(left, _ROUND_SECONDS)), seed=chosen.seed):
            return 1
    kept = smallest_cover(data for file in found.iterdir() if len(data := file.read_bytes()) <= _LONGEST)
    CORPUS.write_text("".join(f"{data!r}\n" for data in kept), encoding="ascii")
    print(f"{len(kept)} inputs in {CORPUS.relative_to(Path.cwd())}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
