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
from dashboards.grafana.boards.agency import agency
from dashboards.grafana.boards.monitoring import monitoring
from dashboards.grafana.boards.national import national
from dashboards.grafana.boards.pipeline import pipeline

__all__ = ["COMMITTED", "boards", "changed_files", "render", "write_boards"]

#: The folder of the committed files.
COMMITTED = Path(__file__).parent / "json"

_BOARDS: Mapping[str, Callable[[], Any]] = {
    "national.json": national,
    "agency.json": agency,
    "pipeline.json": pipeline,
    "monitoring.json": monitoring,
}

#: What the foundation SDK writes for every variable and Grafana's schema knows for none of ours.
_INTERVALS_ONLY = ("auto", "auto_min", "auto_count")


def _plain(board: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(board, cls=JSONEncoder))
    for variable in content["templating"]["list"]:
        for name in _INTERVALS_ONLY:
            variable.pop(name, None)
    for panel in content["panels"]:
        panel["options"].pop("footer", None)  # in Grafana 12 it is an option of fields
    for link in content["links"]:
        del link["placement"]  # the foundation SDK knows one place only: a menu that has to be opened first
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
