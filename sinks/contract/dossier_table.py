"""The table of dossiers: one judged row a dossier, and which dossiers wait to be judged again.

A dossier *waits* while a change of it was noted at or after the time of its row (``judged_at``), or it has no row. That time is
read before its messages are, and changes are noted after they are in the index; so a row that is later than a note has seen its
change. Of several rows of a dossier the one with the larger version holds, so several workers may write the same dossier at once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final, Protocol

import pyarrow as pa

from domain.dossier_milestones import DossierMilestones

_TIME: Final = pa.timestamp("ms", "UTC")
#: Columns of a row; their meaning is in ``domain.dossier_milestones``. ``dossier``: its number, 16 bytes, as in the index.
ROW_SCHEMA: Final = pa.schema(
    [
        ("dossier", pa.binary(16)),
        ("dossier_code", pa.string()),
        ("version", pa.uint64()),
        ("seen", pa.uint64()),
        ("judged_at", _TIME),
        ("state", pa.string()),
        ("submitted_at", _TIME),
        ("submitted_unit", pa.string()),
        ("submitted_procedure", pa.string()),
        ("submitted_status", pa.uint8()),
        ("channel", pa.uint8()),
        ("legacy_level", pa.uint8()),
        ("settled_at", _TIME),
        ("settled_unit", pa.string()),
        ("settled_procedure", pa.string()),
        ("settled_full", pa.bool_()),
        ("settled_full_any_return", pa.bool_()),
        ("given_back_at", _TIME),
        ("first_answer_at", _TIME),
        ("due_at", _TIME),
        ("times", pa.list_(_TIME)),
        ("statuses", pa.list_(pa.uint8())),
        ("dues", pa.list_(_TIME)),
    ]
)


def rows_of(dossiers: Mapping[bytes, DossierMilestones], *, judged_at: dt.datetime) -> pa.Table:
    """Rows (``ROW_SCHEMA``) of dossiers by their number; ``judged_at``: a time before their messages were read."""
    columns: dict[str, list[object]] = {name: [] for name in ROW_SCHEMA.names}
    for dossier, found in dossiers.items():
        columns["dossier"].append(dossier)
        columns["dossier_code"].append(found.code)
        columns["judged_at"].append(judged_at)
        columns["state"].append(found.state.value)
        for name in _SAME_NAME:
            columns[name].append(getattr(found, name))
    return pa.table([pa.array(columns[field.name], field.type) for field in ROW_SCHEMA], schema=ROW_SCHEMA)


#: Columns that are named as the fields of ``DossierMilestones``.
_SAME_NAME: Final = tuple(name for name in ROW_SCHEMA.names if name not in {"dossier", "dossier_code", "judged_at", "state"})


class DossierTable(Protocol):
    """Keeps the rows of dossiers, and knows which dossiers wait."""

    def now(self) -> dt.datetime:
        """The clock by which changes are noted."""
        ...

    def write(self, rows: pa.Table) -> None:
        """Store rows (``ROW_SCHEMA``); durable when it returns."""
        ...

    def waiting_since(self, asked_at: dt.datetime) -> int:
        """How many dossiers wait of which a change was noted at or before a time."""
        ...
