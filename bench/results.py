"""``bench/results.json``: every benchmark replaces its own keys only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")


def read(path: Path = RESULTS) -> dict[str, Any]:
    """All results; empty when there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def update(found: dict[str, Any], path: Path = RESULTS) -> None:
    """Replace the keys that ``found`` has."""
    text = json.dumps(read(path) | found, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
