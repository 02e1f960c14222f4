"""The differences between two snapshots: only the fields that changed, to be merged into the older snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of ``after`` that differ from ``before``; of a nested object only the fields that differ.

    None when a field was added or removed: a merge could not give ``after``, so the whole of it must be sent.
    """
    if before.keys() != after.keys():
        return None
    found: dict[str, Any] = {}
    for name, now in after.items():
        then = before[name]
        if now == then:
            continue
        if isinstance(now, Mapping) and isinstance(then, Mapping):
            inner = changes(then, now)
            if inner is None:
                return None
            found[name] = inner
        else:
            found[name] = now
    return found


def merged(before: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """``before`` with the changes ``found`` merged into it, as a page does it."""
    return dict(before) | {
        name: merged(before[name], each) if isinstance(each, Mapping) and isinstance(before.get(name), Mapping) else each
        for name, each in found.items()
    }
