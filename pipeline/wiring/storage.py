"""Opens ClickHouse: for processes that bring its schema up to date, and for those that only read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError, UnavailableError
from pipeline.authorities import trust_of
from pipeline.logs import get_logger
from pipeline.registry import registry_of
from pipeline.settings import Settings
from pipeline.wiring.recount_dossiers import recount_dossiers
from sinks.clickhouse.client import ClickHouse, Observer
from sinks.clickhouse.expiring_rows import refuse_expiring_rows
from sinks.clickhouse.first_notes import note_every_dossier
from sinks.clickhouse.migrate import Migration, migrate, missing_migrations
from sinks.clickhouse.registry_writer import write_agencies
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.shortages import remedy_of
from sinks.clickhouse.target import Target
from sinks.errors import Retryable, SinkError
from sinks.tables import WHOLE_TABLES

log = get_logger("wiring")

#: Pause between two checks of the schema while another process brings it up to date (seconds).
_SCHEMA_POLL_SECONDS = 1.0
#: In the text of an answer that began and did not end.
_BROKEN_OFF = re.compile(
    r"without sending complete|[Ii]ncomplete ?[Rr]ead|InvalidChunkLength|incomplete chunked"
    r"|failed to decode|Stream failed|Unexpected response"
)


def target_of(settings: Settings) -> Target:
    """The ClickHouse server or folder of the settings.

    Raises:
        ConfigurationError: the address cannot be parsed, or the file of authorities cannot be used.
    """
    clickhouse = settings.clickhouse
    trust_of(clickhouse.ca_file, variable="PORTALPULSE_CLICKHOUSE__CA_FILE")
    try:
        return Target.parse(clickhouse.url.get_secret_value(), timeout=clickhouse.timeout_seconds, ca_file=clickhouse.ca_file)
    except ValueError as error:
        raise ConfigurationError(f"PORTALPULSE_CLICKHOUSE__URL is wrong: {error}.") from error


@contextmanager
def migrated_storage(
    settings: Settings, *, observer: Observer | None = None, applied: list[Migration] | None = None
) -> Iterator[ClickHouse]:
    """A ClickHouse client with the newest schema and registry, closed at the end. For workers and ``migrate``.

    ``applied`` receives the migrations that were missing.

    Raises:
        ConfigurationError: the registry of the settings cannot be used.
        UnavailableError: ClickHouse does not answer, refuses access or hides rows, or another process uses its folder.
    """
    registry = registry_of(settings)

    def migrate_all(clickhouse: ClickHouse) -> None:
        done = prepare(clickhouse, registry)
        if applied is not None:
            applied.extend(done)

    with _opened(settings, observer, migrate_all) as clickhouse:
        yield clickhouse


@contextmanager
def opened_storage(settings: Settings, *, wait: float = 0.0) -> Iterator[ClickHouse]:
    """A ClickHouse client with the schema of this release, closed at the end. Nothing is written.

    ``wait``: seconds to wait for a worker that brings the schema up to date.

    Raises:
        ConfigurationError: the registry of the settings cannot be used.
        UnavailableError: ClickHouse does not answer, refuses access, hides rows, or has an older or newer schema.
    """
    registry_of(settings)  # a wrong file is a mistake of the settings: it is reported before anything is opened
    deadline = time.monotonic() + wait

    def check_schema(clickhouse: ClickHouse) -> None:
        while missing := missing_migrations(clickhouse):
            if time.monotonic() >= deadline:
                raise UnavailableError(
                    f"The database {clickhouse.target.database!r} of {clickhouse.target.display_name} lacks migration "
                    f"{missing[0].number:04d} of this program, and only workers and `portalpulse migrate` change its tables.",
                    remedy="Start a worker of this release, run `portalpulse migrate`, or use the release of the workers.",
                )
            log.info("waiting_for_a_worker_to_migrate", migration=missing[0].number, database=clickhouse.target.database)
            time.sleep(_SCHEMA_POLL_SECONDS)

    with _opened(settings, None, check_schema) as clickhouse:
        yield clickhouse


@contextmanager
def _opened(settings: Settings, observer: Observer | None, prepared: Callable[[ClickHouse], None]) -> Iterator[ClickHouse]:
    target = target_of(settings)
    try:
        clickhouse = ClickHouse(target, observer=observer) if observer is not None else ClickHouse(target)
    except SinkError as error:
        raise UnavailableError(str(error), remedy=remedy_of(error, target)) from error
    try:
        try:
            prepared(clickhouse)
            refuse_hidden_rows(clickhouse, WHOLE_TABLES)
            refuse_expiring_rows(clickhouse, WHOLE_TABLES)
        except Retryable as error:
            raise _unavailable(error, target) from error
        except SinkError as error:
            raise UnavailableError(
                str(error), remedy=remedy_of(error, target) or "`portalpulse doctor` checks each part."
            ) from error
        yield clickhouse
    finally:
        clickhouse.close()


def _unavailable(error: Retryable, target: Target) -> UnavailableError:
    """The sentence about a storage that a worker would wait for."""
    reason = str(error).removeprefix(f"{target.display_name}: ").rstrip(".")
    if target.folder is not None:  # it is this process, which cannot be started or reached elsewhere
        return UnavailableError(
            f"{target.display_name} cannot go on for now: {reason}.", remedy=remedy_of(error, target) or "Run the command again."
        )
    if getattr(error.__cause__, "code", None) is not None:
        return UnavailableError(
            f"{target.display_name} answers but refuses for now: {reason}.",
            remedy=remedy_of(error, target) or "Try again later. If it persists, look in the log of ClickHouse.",
        )
    if _BROKEN_OFF.search(reason):
        return UnavailableError(
            f"{target.display_name} breaks off its answers, or another program answers: {reason}.",
            remedy="Look in the log of ClickHouse for the cause: a limit in the profile of this user, such as"
            " max_execution_time, a server that ends, or a proxy in between.",
        )
    return UnavailableError(
        f"{target.display_name} does not answer: {reason}.", remedy="Start it, or correct PORTALPULSE_CLICKHOUSE__URL."
    )


def migrate_storage(settings: Settings) -> tuple[Migration, ...]:
    """Bring the schema up to date; returns the migrations that were applied."""
    applied: list[Migration] = []
    with migrated_storage(settings, applied=applied):
        return tuple(applied)


def prepare(clickhouse: ClickHouse, registry: AgencyRegistry) -> tuple[Migration, ...]:
    """Apply missing migrations and write the registry of agencies; returns the migrations that were applied."""
    steps = {13: lambda: recount_dossiers(clickhouse, registry), 17: lambda: note_every_dossier(clickhouse)}
    done = migrate(clickhouse, steps=steps)
    write_agencies(clickhouse, registry)
    return done
