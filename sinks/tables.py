"""The names of all tables, and the counts of a tally as SQL, in one place for writers, readers and migrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from domain.tiers import COUNTS, Condition, Rule, Tier

DOSSIER_MESSAGES: Final = "dossier_messages"
AGENCY_MINUTE: Final = Tier.MINUTE.value
AGENCY_DAY: Final = Tier.DAY.value
AGENCY_DAY_PROCEDURE: Final = Tier.PROCEDURE.value
DEAD_LETTERS: Final = "dead_letters"
DEAD_LETTER_MARKS: Final = "dead_letter_marks"
DEAD_LETTER_CHECKPOINTS: Final = "dead_letter_checkpoints"
DEAD_LETTER_ACCEPTANCES: Final = "dead_letter_acceptances"
DEAD_LETTER_TALLIES: Final = "dead_letter_tallies"
UNREAD_OFFSETS: Final = "unread_offsets"
DOSSIER_INDEX: Final = "dossier_index"
DOSSIER_CORRECTIONS: Final = "dossier_corrections"
DOSSIER_EXCLUSIONS: Final = "dossier_exclusions"
DOSSIERS: Final = "dossiers"
DOSSIER_CHANGES: Final = "dossier_changes"
AGENCIES: Final = "agencies"
CATALOGUE_ENTRIES: Final = "catalogue_entries"
CATALOGUE_LOADS: Final = "catalogue_loads"
CATALOGUE_RECOUNTS: Final = "catalogue_recounts"
TALLY_EPOCHS: Final = "tally_epochs"
SCHEMA_MIGRATIONS: Final = "schema_migrations"
OLD_EVENTS: Final = "dossier_events_before_0012"
COPIED_MONTHS: Final = "copied_months"
SHARD_POSITION: Final = "shard_position"
EXPIRED_MESSAGES: Final = "expired_messages"
EXPIRED_DOSSIERS: Final = "expired_dossiers"
EXPIRATION_RUNS: Final = "expiration_runs"
STORAGE_IDS: Final = "storage_ids"

#: Every table whose rows count in a figure, or decide what a process does. No process works while one of them hides rows from the
#: database user (``sinks.clickhouse.row_policies``) or deletes rows by itself (``expiring_rows``).
WHOLE_TABLES: Final = (
    *(DOSSIER_MESSAGES, DOSSIER_INDEX, DOSSIER_CORRECTIONS, DOSSIER_EXCLUSIONS, DOSSIERS, DOSSIER_CHANGES),
    *(AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE, TALLY_EPOCHS),
    *(DEAD_LETTERS, DEAD_LETTER_MARKS, DEAD_LETTER_TALLIES, DEAD_LETTER_CHECKPOINTS, DEAD_LETTER_ACCEPTANCES),
    *(UNREAD_OFFSETS, SCHEMA_MIGRATIONS, CATALOGUE_ENTRIES, CATALOGUE_LOADS, CATALOGUE_RECOUNTS, SHARD_POSITION),
    *(EXPIRED_MESSAGES, EXPIRED_DOSSIERS, EXPIRATION_RUNS, STORAGE_IDS),
)
#: Every other table of the database, and why it may lack rows. ``tests/contract/test_hidden_rows.py`` refuses a table that is in
#: neither list, and a reader of any table that does not refuse hidden rows.
OTHER_TABLES: Final[Mapping[str, str]] = {
    AGENCIES: "names for boards; the program has its own registry",
    OLD_EVENTS: "read once, by migration 0013, which checks it; an operator may drop it afterwards",
    COPIED_MONTHS: "as the table above",
}

#: The columns that identify a dead letter. Another message has the same offset after a topic was recreated or truncated.
DEAD_LETTER_IDENTITY: Final = "topic, partition, offset, content_hash"


def _sql(condition: Condition) -> str:
    """The SQL of a condition on one column of an event."""
    values = [f"'{value}'" if isinstance(value, str) else str(int(value)) for value in condition.values]
    if len(values) == 1:
        return f"{condition.field} {'!=' if condition.excluded else '='} {values[0]}"
    return f"{condition.field} {'NOT IN' if condition.excluded else 'IN'} ({', '.join(values)})"


def _rule_sql(rule: Rule) -> str:
    alternatives = [" AND ".join(map(_sql, conditions)) for conditions in rule.alternatives]
    return alternatives[0] if len(alternatives) == 1 else " OR ".join(f"({conditions})" for conditions in alternatives)


#: Counts of a tally row: column -> the condition on an event's columns that adds 1 to it.
COUNT_CONDITIONS: Final[Mapping[str, str]] = {name: _rule_sql(rule) for name, rule in COUNTS.items()}

#: A version is ``epoch * EPOCH + distinct events``: of two recounts the one that counted more events wins, without a clock.
#: Only a deliberate purge or repair raises the epoch.
EPOCH: Final = 2**40
