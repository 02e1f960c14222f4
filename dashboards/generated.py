"""Committed files that code generates: writing them, and finding those that are out of date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_files(texts: Mapping[Path, str]) -> list[Path]:
    """Write every text to its path, with its folder where that is missing; returns the paths in the order given."""
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def outdated_files(texts: Mapping[Path, str]) -> list[Path]:
    """The paths whose file is missing or holds another text."""
    return [path for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
