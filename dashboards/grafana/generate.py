"""Writes the boards as JSON files that Grafana provisions; the committed files are what this makes.

``id`` is null in every file: Grafana knows a board by its ``uid``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.grafana.boards.national import national

__all__ = ["COMMITTED", "boards", "changed_files", "render", "write_boards"]

#: The folder of the committed files.
COMMITTED = Path(__file__).parent / "json"

_BOARDS: Mapping[str, Callable[[], Any]] = {"national.json": national}


def _plain(board: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(board, cls=JSONEncoder))
    return {"id": None, **content}


def boards() -> list[dict[str, Any]]:
    """Every board as Grafana's API takes it."""
    return [_plain(make()) for make in _BOARDS.values()]


def render() -> dict[str, str]:
    """The text of every board by file name."""
    return {
        name: json.dumps(board, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        for name, board in zip(_BOARDS, boards(), strict=True)
    }


def write_boards(directory: Path = COMMITTED) -> list[Path]:
    """Write every board into ``directory`` (made when missing) and return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in render().items():
        path = directory / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def changed_files(directory: Path = COMMITTED) -> list[Path]:
    """Files in ``directory`` that differ from what is rendered now, missing ones included."""
    return [
        directory / name
        for name, text in render().items()
        if not (directory / name).is_file() or (directory / name).read_text(encoding="utf-8") != text
    ]
