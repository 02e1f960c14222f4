"""The tables and the counts they hold, named once for writers, readers and migrations."""

from __future__ import annotations

from typing import Final

DOSSIER_EVENTS: Final = "dossier_events"
AGENCY_MINUTE: Final = "agency_minute"
AGENCY_DAY: Final = "agency_day"
AGENCY_DAY_PROCEDURE: Final = "agency_day_procedure"
DEAD_LETTERS: Final = "dead_letters"
DEAD_LETTER_MARKS: Final = "dead_letter_marks"
DEAD_LETTER_CHECKPOINTS: Final = "dead_letter_checkpoints"
DEAD_LETTER_ACCEPTANCES: Final = "dead_letter_acceptances"
DEAD_LETTER_TALLIES: Final = "dead_letter_tallies"
UNREAD_OFFSETS: Final = "unread_offsets"
AGENCIES: Final = "agencies"
TALLY_EPOCHS: Final = "tally_epochs"
SCHEMA_MIGRATIONS: Final = "schema_migrations"

#: Counts of a tally row: column -> the condition on an event that adds 1 to it. The same rules stand in
#: ``domain.indicators`` as predicates; a test compares the two over every combination of codes.
COUNTS: Final[dict[str, str]] = {
    "submitted": "(status = 1 AND channel = 2) OR (status = 2 AND channel IN (1, 3))",
    "submitted_online": "status = 1 AND channel = 2",
    "settled": "status = 9",
    "settled_full": "status = 9 AND channel = 2 AND service_level = 'toan_trinh' AND returned_by != 'counter'",
    "refused": "status = 3",
    "withdrawn": "status = 7",
    "stopped": "status = 8",
}

#: A version is ``epoch * EPOCH + distinct events``: of two recounts the one that saw more events wins, without a clock.
#: The epoch is raised only by a deliberate purge or repair.
EPOCH: Final = 2**40
