"""What changed between two snapshots, as small as it can be said: a merge of nested objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of ``after`` that differ, nested objects with their own differing fields alone.

    None where a field went or came, so that a merge could not give ``after``: the whole of it must be sent.
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
    """``before`` with changes: what a page does with them."""
    return dict(before) | {
        name: merged(before[name], each) if isinstance(each, Mapping) and isinstance(before.get(name), Mapping) else each
        for name, each in found.items()
    }
