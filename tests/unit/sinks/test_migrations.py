"""Migration files, without a database."""

from __future__ import annotations

import dataclasses
import re

import pytest

from sinks.clickhouse import migrate
from sinks.clickhouse.migrate import Migration, packaged_migrations
from sinks.contract.tallies import Counts
from sinks.tables import COUNT_CONDITIONS, EPOCH


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("SELECT 1;\n", ("SELECT 1",)),
        ("SELECT 1\n", ("SELECT 1",)),
        ("-- why; because\nSELECT 1;\n\n-- then\nSELECT 2;\n", ("SELECT 1", "SELECT 2")),
        ("SELECT ';' AS a;\nSELECT 2;\n", ("SELECT ';' AS a", "SELECT 2")),
        ("  -- indented\nSELECT 1;\n;\n", ("SELECT 1",)),
        ("-- nothing\n", ()),
        ("\n\n", ()),
    ],
)
def test_statements_are_split_at_the_end_of_a_line(text, statements):
    """A statement ends with a semicolon at the end of a line; comments and empty remainders are not statements."""
    assert Migration(1, "x", text).statements == statements


@pytest.mark.parametrize("migration", packaged_migrations(), ids=lambda migration: migration.name)
def test_a_migration_may_run_twice(migration):
    """Two workers may apply the same file at once, so every statement can be repeated."""
    assert migration.statements
    # A table that was renamed or dropped is not there any more; none has the name of the dropped one again.
    # Rows of a tally and dead letters replace their repeats; each id of a storage is one of it; an index that is created again is
    # the same; what was copied may be deleted again.
    harmless = re.compile(
        r"(CREATE|ALTER) .*IF NOT EXISTS |RENAME TABLE IF EXISTS |DROP TABLE IF EXISTS service_catalogue$"
        r"|ALTER TABLE \w+\s+(MODIFY SETTING|MATERIALIZE INDEX|MODIFY COLUMN \w+ \w+\s+DEFAULT) "
        r"|INSERT INTO (dead_letter_tallies|dead_letters|storage_ids) "
        r"|DELETE FROM dead_letters WHERE content_hash = 0 AND .* IN \(SELECT",
        re.DOTALL,
    )
    for statement in migration.statements:
        assert harmless.match(statement), statement[:60]


def test_the_fingerprint_is_of_the_whole_text():
    """A changed comment changes the fingerprint, too."""
    migration = packaged_migrations()[0]
    assert migration.sha256 == dataclasses.replace(migration).sha256
    assert migration.sha256 != dataclasses.replace(migration, text=migration.text + "-- \n").sha256


def test_reworded_migrations_have_the_fingerprint_of_today():
    """What a former fingerprint is read as is the fingerprint of a migration that ships with this release."""
    assert set(migrate._REWORDED.values()) <= {migration.sha256 for migration in packaged_migrations()}
    assert not set(migrate._REWORDED) & {migration.sha256 for migration in packaged_migrations()}


def test_counts_are_named_alike_everywhere():
    """The counts of the contract are those of the tables, in the same order."""
    assert [field.name for field in dataclasses.fields(Counts)] == ["events", *COUNT_CONDITIONS]


def test_an_epoch_is_larger_than_any_count():
    """A count of events never reaches the next epoch, and epochs fit into the column."""
    assert EPOCH > 10**12
    assert EPOCH * 2**20 < 2**64
