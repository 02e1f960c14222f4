"""Applies numbered SQL files. Each is applied once, recorded, and never edited afterwards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.driver_errors import code_of
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.errors import Fatal
from sinks.tables import SCHEMA_MIGRATIONS

_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
#: Fingerprints of migrations before their comments were reworded -> those of today. Their statements are the same.
_REWORDED: Final = {
    "addac025895589a40208ed5deb9ae476da6b9ffafaa3742448c6622b15b00012": (
        "243d0c8f7323290fd02995ec5e21dfd6fc448b955cbd3f80eef33c2333afad13"
    ),
}


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered SQL file: statements separated by ``;`` at the end of a line."""

    number: int
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, which is recorded when the migration is applied."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements, without comments; empty ones are omitted."""
        lines = [line for line in self.text.splitlines() if not line.lstrip().startswith("--")]
        return tuple(part.strip() for part in "\n".join([*lines, ""]).split(";\n") if part.strip().strip(";"))


def packaged_migrations() -> tuple[Migration, ...]:
    """The migrations that ship with portalpulse, in order."""
    found = [
        Migration(int(match[1]), match[2], file.read_text(encoding="utf-8") + "\n")
        for file in resources.files("sinks.clickhouse").joinpath("migrations").iterdir()
        if (match := _NAME.match(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.number))


def migrate(
    clickhouse: ClickHouse,
    migrations: tuple[Migration, ...] | None = None,
    *,
    steps: Mapping[int, Callable[[], None]] | None = None,
) -> tuple[Migration, ...]:
    """Apply the missing migrations in order; returns the applied ones.

    Args:
        clickhouse: the database.
        migrations: all migrations of the program; default: those that ship with it.
        steps: number of a migration -> what to do after its statements and before it is recorded.

    Raises:
        Fatal: an applied migration was edited, or the database is newer than this program.
    """
    known = packaged_migrations() if migrations is None else migrations
    clickhouse.create_database()
    clickhouse.command("migrate", TABLE_OF_MIGRATIONS)
    done = pending(_applied(clickhouse), known)
    for migration in done:
        for statement in migration.statements:
            clickhouse.command("migrate", statement)
        if steps and migration.number in steps:
            steps[migration.number]()
        record(clickhouse, migration)
    return done


#: The statement that creates the table of applied migrations.
TABLE_OF_MIGRATIONS: Final = (
    f"CREATE TABLE IF NOT EXISTS {SCHEMA_MIGRATIONS} (number UInt32, name String, sha256 String, "
    "applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY number"
)


def pending(applied: Mapping[int, str], known: tuple[Migration, ...]) -> tuple[Migration, ...]:
    """The migrations that must be applied, in order. ``applied``: number -> fingerprint.

    Raises:
        Fatal: an applied migration was edited, or the database is newer than this program.
    """
    _refuse_newer(applied, known)
    for migration in known:
        if applied.get(migration.number, migration.sha256) != migration.sha256:
            raise Fatal(
                f"Migration {migration.number:04d}_{migration.name} was edited after it was applied. Restore the file "
                "and put the change into a new migration."
            )
    return tuple(migration for migration in known if migration.number not in applied)


def record(clickhouse: ClickHouse, migration: Migration) -> None:
    """Record that a migration is applied."""
    clickhouse.command(
        "migrate",
        f"INSERT INTO {SCHEMA_MIGRATIONS} (number, name, sha256) VALUES "  # noqa: S608
        "({number:UInt32}, {name:String}, {sha256:String})",
        {"number": migration.number, "name": migration.name, "sha256": migration.sha256},
    )


def missing_migrations(clickhouse: ClickHouse) -> tuple[Migration, ...]:
    """The migrations that the database lacks; all of them when it does not exist. Only reads.

    Raises:
        Fatal: the database is newer than this program.
    """
    return pending(applied_migrations(clickhouse), packaged_migrations())


def applied_migrations(clickhouse: ClickHouse) -> dict[int, str]:
    """The applied migrations, number -> fingerprint; empty when the database or its tables do not exist. Only reads."""
    try:
        return _applied(clickhouse)
    except Fatal as error:
        if code_of(error) not in _MISSING:
            raise
        return {}


#: UNKNOWN_TABLE, UNKNOWN_DATABASE.
_MISSING = frozenset({60, 81})


def _applied(clickhouse: ClickHouse) -> dict[int, str]:
    rows = clickhouse.rows("migrate", f"SELECT number, sha256 FROM {SCHEMA_MIGRATIONS}")  # noqa: S608 - the name is a constant
    refuse_hidden_rows(clickhouse, (SCHEMA_MIGRATIONS,))  # otherwise what is hidden would be applied again
    return {int(number): current_fingerprint(str(sha256)) for number, sha256 in rows}


def current_fingerprint(recorded: str) -> str:
    """The fingerprint that a migration has today of which ``recorded`` was written when it was applied."""
    return _REWORDED.get(recorded, recorded)


def _refuse_newer(applied: Mapping[int, str], known: tuple[Migration, ...]) -> None:
    numbers = {migration.number for migration in known}
    if newer := sorted(set(applied) - numbers):
        raise Fatal(
            f"The database has migration {newer[-1]:04d}, this program knows none above {max(numbers):04d}. Update the program."
        )
