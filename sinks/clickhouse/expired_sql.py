"""SQL about expired messages: which runs of the retention are in force, and which messages a statement skips because of them.

A statement that counts reads the bound (the runs in force) once, and decides two things with it: which rows of
``expired_messages`` it adds, and which messages and corrections it skips because their event is among these rows. So at every
moment each event counts in one of the two forms, whether its messages are deleted yet or not, and also when they are sent again,
with the same contents or others.
"""

from __future__ import annotations

from typing import Final

from domain.dossier_columns import BITS
from sinks.clickhouse.dossier_sql import DOSSIER
from sinks.tables import DOSSIER_CORRECTIONS, DOSSIER_INDEX, DOSSIER_MESSAGES, EXPIRATION_RUNS, EXPIRED_MESSAGES

_REPEAT: Final = BITS.index("repeat")
#: The runs, and whether each is out of force. A run that was given up before it was switched on stays out.
RUNS: Final = (
    "SELECT generation, max(older_than) AS older_than, countIf(step = 'switched') > 0 AS switched, "  # noqa: S608 - constants
    "countIf(step = 'void') > 0 AS void, countIf(step = 'finished') > 0 AS finished, "
    "uniqExactIf(run, step = 'begun') AS writers, "
    "NOT switched OR (void AND minIf(at, step = 'void') <= minIf(at, step = 'switched')) AS out, min(at) AS began_at "
    f"FROM {EXPIRATION_RUNS} GROUP BY generation"
)
#: The name of the bound in a statement, and the clause that reads it: the last run that is known, and the runs out of force.
#: A run that begins later has a higher number.
_BOUND: Final = "expired_bound"
WITH_BOUND: Final = f"WITH assumeNotNull((SELECT (max(generation), groupArrayIf(generation, out)) FROM ({RUNS}))) AS {_BOUND}"  # noqa: S608
#: The condition that a row is of a run in force.
IN_FORCE: Final = f"(generation <= tupleElement({_BOUND}, 1) AND NOT has(tupleElement({_BOUND}, 2), generation))"


def _hash(dossier: str, status: str) -> str:
    """The SQL of the hash that identifies an event; equal to the default of the column in migration 0021."""
    return f"sipHash128(toUInt128({dossier}), toUnixTimestamp64Milli(occurred_at), event_id, toString(agency), toUInt8({status}))"


#: The hash of the event of a row of each table.
EVENT_OF: Final = {
    DOSSIER_MESSAGES: _hash(DOSSIER, "status"),
    DOSSIER_INDEX: _hash("dossier", "bitAnd(facts, 15)"),
    DOSSIER_CORRECTIONS: _hash("dossier", "bitAnd(facts, 15)"),
}


def kept(table: str, within: str) -> str:
    """The SQL condition that a row of a table counts, because its event has not expired.

    If no messages of the range have expired, ClickHouse finds the first part of the condition to be constant and reads nothing
    more.

    Args:
        table: messages or corrections.
        within: the range of the statement, a condition on ``occurred_at`` (and perhaps ``agency``).
    """
    expired = f"FROM {EXPIRED_MESSAGES} WHERE {within} AND {IN_FORCE}"
    return f"((SELECT count() {expired}) = 0 OR {EVENT_OF[table]} NOT IN (SELECT event {expired}))"


def expired_count(name: str) -> str:
    """The SQL of what an expired message adds to a count: 0 or 1."""
    if name == "events":
        return f"toInt64(NOT bitTest(counts_as, {_REPEAT}))"
    return f"toInt64(bitTest(counts_as, {BITS.index(name)}))"
