"""Generates the boards as JSON files, which are committed and provisioned by Grafana.

``id`` is null in every file, because Grafana identifies a board by its ``uid``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards.generated import outdated_files, write_files
from dashboards.grafana.boards.national import national

__all__ = ["COMMITTED", "boards", "changed_files", "render", "write_boards"]

#: The folder of the committed files.
COMMITTED = Path(__file__).parent / "json"

_BOARDS: Mapping[str, Callable[[], Any]] = {"national.json": national}


def _plain(board: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(board, cls=JSONEncoder))
    return {"id": None, **content}


def boards() -> list[dict[str, Any]]:
    """Every board as Grafana's API accepts it."""
    return [_plain(make()) for make in _BOARDS.values()]


def render() -> dict[str, str]:
    """The text of every board by file name."""
    return {
        name: json.dumps(board, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        for name, board in zip(_BOARDS, boards(), strict=True)
    }


def write_boards(directory: Path = COMMITTED) -> list[Path]:
    """Write every board into ``directory`` (created when missing) and return the paths."""
    return write_files(_by_path(directory))


def changed_files(directory: Path = COMMITTED) -> list[Path]:
    """Files in ``directory`` that are missing or out of date."""
    return outdated_files(_by_path(directory))


def _by_path(directory: Path) -> dict[Path, str]:
    return {directory / name: text for name, text in render().items()}
