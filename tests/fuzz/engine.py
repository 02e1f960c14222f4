"""The process that atheris runs in: libFuzzer's options on its command line."""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["domain", "pipeline.decode"]):
    from tests.fuzz.target import check

from tests.fuzz.mutations import mutated


def _mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
    return mutated(data, random.Random(seed), lambda piece: atheris.Mutate(piece, max_bytes))[:max_bytes]


if __name__ == "__main__":
    atheris.Setup(sys.argv, lambda data: check(data) and None, custom_mutator=_mutate)
    atheris.Fuzz()
