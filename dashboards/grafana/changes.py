"""Describes how a stored board differs from the new one: one line for each change, with its panel and field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

#: Fields that Grafana adds to a stored board.
_ADDED_BY_GRAFANA: Final = frozenset({"id", "version"})
#: Longest part of a value that is shown.
_SHOWN: Final = 100


def changes(stored: Mapping[str, Any], board: Mapping[str, Any]) -> tuple[str, ...]:
    """One line for each change; it begins with + (new), - (gone) or ~ (changed: before -> after). Empty: the boards are equal."""
    before, after = _panels(stored), _panels(board)
    found = [f"-{_named(before[key])}" for key in before if key not in after]
    found += [f"+{_named(after[key])}" for key in after if key not in before]
    for key in after:
        if key in before:
            found += _differences(before[key], after[key], f"{_named(after[key])}: ")
    return (*_differences(_frame(stored), _frame(board), ""), *found)


def _frame(board: Mapping[str, Any]) -> dict[str, Any]:
    """A board without its panels and without the fields that Grafana adds."""
    return {name: value for name, value in board.items() if name not in {*_ADDED_BY_GRAFANA, "panels"}}


def _panels(board: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The panels by their id and their place among panels of this id."""
    found: dict[str, Mapping[str, Any]] = {}
    for panel in board.get("panels") or ():
        number = sum(key.startswith(f"{panel.get('id')} ") for key in found)
        found[f"{panel.get('id')} {number}"] = panel
    return found


def _named(panel: Mapping[str, Any]) -> str:
    return f"panel {panel.get('id')} ({panel.get('title')})"


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str) -> list[str]:
    old, new = dict(_leaves(before, "")), dict(_leaves(after, ""))
    found = []
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            found.append(f"-{prefix}{path}: {_text(old[path])}")
        elif path not in old:
            found.append(f"+{prefix}{path}: {_text(new[path])}")
        elif old[path] != new[path] or type(old[path]) is not type(new[path]):
            found.append(f"~{prefix}{path}: {_text(old[path])} -> {_text(new[path])}")
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each value that contains no other values, with its path."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for number, part in enumerate(value):
            yield from _leaves(part, f"{path}[{number}]")
    else:
        yield path, value


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
