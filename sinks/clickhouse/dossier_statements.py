"""What statements about numbered dossiers share: the columns of a history, settings of writes and deletes, numbers in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.row_policies import refuse_hidden_rows

#: Columns of ``dossier_index`` that tell a message, a decision or a level note, as histories give them.
HISTORY: Final = "dossier, occurred_at, event_id, reinterpretAsFixedString(event_id) AS id, agency, procedure_code, due_at, facts"
#: Settings of an insert of rows that were made once, in one block for each partition.
WRITE: Final[dict[str, Any]] = {
    "optimize_on_insert": 0,
    "max_partitions_per_insert_block": 0,
    "max_insert_threads": 1,
    "min_insert_block_size_rows": 1 << 20,
}
#: Deleted rows are gone when the statement returns.
_DELETING: Final[dict[str, Any]] = {"lightweight_deletes_sync": 2}
#: Dossiers in one statement that names them.
_AT_ONCE: Final = 1_000


def number(dossier: bytes) -> int:
    """The number of a dossier as an integer, from its 16 bytes in Arrow."""
    return int.from_bytes(dossier, "little")


def literal(dossier: bytes) -> str:
    """The number of a dossier as SQL, from its 16 bytes in Arrow."""
    return f"toUInt128('{number(dossier)}')"


def listed(dossiers: Sequence[bytes]) -> Iterator[str]:
    """The numbers of dossiers as lists for ``IN``, each short enough for one statement."""
    for start in range(0, len(dossiers), _AT_ONCE):
        yield ", ".join(map(literal, dossiers[start : start + _AT_ONCE]))


def delete_dossiers(clickhouse: ClickHouse, operation: str, tables: Sequence[str], dossiers: Sequence[bytes]) -> None:
    """Delete the rows of these dossiers from the tables.

    Raises:
        Fatal: the user has a row policy: rows that it hides are not deleted.
    """
    for some in listed(dossiers):
        for table in tables:
            clickhouse.command(operation, f"DELETE FROM {table} WHERE dossier IN ({some})", **_DELETING)  # noqa: S608
    refuse_hidden_rows(clickhouse, tables)
