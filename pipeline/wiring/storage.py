"""Opens the storage: for processes that bring its schema up to date, and for processes that only read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError, UnavailableError
from pipeline.authorities import trust_of
from pipeline.logs import get_logger
from pipeline.registry import registry_of
from pipeline.settings import Settings
from pipeline.wiring.recount_dossiers import recount_dossiers
from sinks.clickhouse.client import ClickHouse, Observer
from sinks.clickhouse.cluster.cluster import Cluster
from sinks.clickhouse.cluster.layout import Layout, parse_layout
from sinks.clickhouse.cluster.migrate import migrate_cluster
from sinks.clickhouse.cluster.positions import check_positions, check_single_server
from sinks.clickhouse.cluster.storage import ClusterStorage
from sinks.clickhouse.driver_errors import code_of
from sinks.clickhouse.expiring_rows import refuse_expiring_rows
from sinks.clickhouse.first_notes import note_every_dossier
from sinks.clickhouse.migrate import Migration, migrate, missing_migrations
from sinks.clickhouse.registry_writer import write_agencies
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.shortages import remedy_of
from sinks.clickhouse.storage import ClickHouseStorage
from sinks.clickhouse.target import Target
from sinks.contract.storage import Storage
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
        ConfigurationError: the address is malformed, or the file of authorities cannot be used.
    """
    clickhouse = settings.clickhouse
    trust_of(clickhouse.ca_file, variable="PORTALPULSE_CLICKHOUSE__CA_FILE")
    try:
        return Target.parse(clickhouse.url.get_secret_value(), timeout=clickhouse.timeout_seconds, ca_file=clickhouse.ca_file)
    except ValueError as error:
        raise ConfigurationError(f"PORTALPULSE_CLICKHOUSE__URL is wrong: {error}.") from error


def layout_of(settings: Settings) -> Layout | None:
    """The servers of the cluster in the settings, or None for a single ClickHouse.

    Raises:
        ConfigurationError: the addresses are wrong.
    """
    clickhouse = settings.clickhouse
    if not (urls := clickhouse.addresses):
        return None
    trust_of(clickhouse.ca_file, variable="PORTALPULSE_CLICKHOUSE__CA_FILE")
    try:
        return parse_layout(urls, clickhouse.cluster, timeout=clickhouse.timeout_seconds, ca_file=clickhouse.ca_file)
    except ValueError as error:
        raise ConfigurationError(f"PORTALPULSE_CLICKHOUSE__SHARDS is wrong: {error}.") from error


@contextmanager
def migrated_storage(
    settings: Settings, *, observer: Observer | None = None, applied: list[Migration] | None = None
) -> Iterator[Storage]:
    """Open a storage, apply missing migrations and write the registry; close it when the block ends.

    For workers and ``migrate``. The migrations that were missing are added to ``applied``.

    Raises:
        ConfigurationError: the registry of the settings cannot be used.
        UnavailableError: ClickHouse does not answer, refuses access or hides rows, or another process uses its folder.
    """
    registry = registry_of(settings)

    def migrate_all(opened: _Opened) -> None:
        done = opened.migrate(registry)
        if applied is not None:
            applied.extend(done)

    with _opened(settings, observer, migrate_all) as storage:
        yield storage


@contextmanager
def opened_storage(settings: Settings, *, wait: float = 0.0) -> Iterator[Storage]:
    """Open a storage and check that it has the schema of this release; close it when the block ends. Writes nothing.

    ``wait``: for how many seconds to wait for a worker to bring the schema up to date.

    Raises:
        ConfigurationError: the registry of the settings cannot be used.
        UnavailableError: ClickHouse does not answer, refuses access, hides rows, or has an older or newer schema.
    """
    registry_of(settings)  # a wrong file is a mistake of the settings: it is reported before anything is opened
    deadline = time.monotonic() + wait

    def check_schema(opened: _Opened) -> None:
        clickhouse = opened.everywhere
        while missing := missing_migrations(clickhouse):
            # No other process can migrate an embedded folder that this one has opened.
            if time.monotonic() >= deadline or clickhouse.target.folder is not None:
                raise UnavailableError(
                    f"The database {clickhouse.target.database!r} of {clickhouse.target.display_name} lacks migration "
                    f"{missing[0].number:04d} of this program, and only workers and `portalpulse migrate` change its tables.",
                    remedy="Start a worker of this release, run `portalpulse migrate`, or use the release of the workers.",
                )
            log.info("waiting_for_a_worker_to_migrate", migration=missing[0].number, database=clickhouse.target.database)
            time.sleep(_SCHEMA_POLL_SECONDS)
        opened.check_position()

    with _opened(settings, None, check_schema) as storage:
        yield storage


class _Opened(Protocol):
    """An opened storage that is not yet migrated or checked."""

    storage: Storage

    @property
    def everywhere(self) -> ClickHouse:
        """The ClickHouse with the tables that every server has."""
        ...

    @property
    def parts(self) -> Sequence[ClickHouse]:
        """Every ClickHouse with its own tables: the single one, or those of the shards."""
        ...

    def migrate(self, registry: AgencyRegistry) -> tuple[Migration, ...]:
        """Bring the schema and the registry of agencies up to date; return the migrations that were applied."""
        ...

    def check_position(self) -> None:
        """Check that each server has the shard that the settings give it; raise an error if not."""
        ...


class _Single:
    """A single ClickHouse, embedded or a server."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.storage: Storage = ClickHouseStorage(clickhouse)
        self.everywhere = clickhouse
        self.parts = (clickhouse,)

    def migrate(self, registry: AgencyRegistry) -> tuple[Migration, ...]:
        done = prepare(self.everywhere, registry)
        check_single_server(self.everywhere)
        return done

    def check_position(self) -> None:
        check_single_server(self.everywhere)


class _Several:
    """A cluster of ClickHouse servers."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.storage: Storage = ClusterStorage(cluster)
        self.everywhere = cluster.home
        self.parts = cluster.shards

    def migrate(self, registry: AgencyRegistry) -> tuple[Migration, ...]:
        done = migrate_cluster(self._cluster, steps=_steps(registry))
        write_agencies(self.everywhere, registry)
        return done

    def check_position(self) -> None:
        check_positions(self._cluster)


@contextmanager
def _opened(settings: Settings, observer: Observer | None, prepared: Callable[[_Opened], None]) -> Iterator[Storage]:
    layout = layout_of(settings)
    target = target_of(settings) if layout is None else layout.shards[0][0]
    opened: _Opened
    try:
        if layout is None:
            opened = _Single(ClickHouse(target, observer=observer) if observer is not None else ClickHouse(target))
        else:
            opened = _Several(Cluster(layout, observer=observer))
    except SinkError as error:
        raise UnavailableError(str(error), remedy=remedy_of(error, target)) from error
    try:
        try:
            prepared(opened)
            for part in opened.parts:
                refuse_hidden_rows(part, WHOLE_TABLES)
                refuse_expiring_rows(part, WHOLE_TABLES)
        except Retryable as error:
            raise unavailable(error, target, variable=variable_of(layout)) from error
        except SinkError as error:
            raise UnavailableError(
                str(error), remedy=remedy_of(error, target) or "`portalpulse doctor` checks each part."
            ) from error
        yield opened.storage
    finally:
        opened.storage.close()


def variable_of(layout: Layout | None) -> str:
    """The name of the setting that has the storage's address."""
    return "PORTALPULSE_CLICKHOUSE__URL" if layout is None else "PORTALPULSE_CLICKHOUSE__SHARDS"


def unavailable(error: SinkError, target: Target, *, variable: str) -> UnavailableError:
    """The error of a command for an error of the storage. ``variable``: the name of the setting with the address."""
    if not isinstance(error, Retryable):
        return UnavailableError(str(error), remedy=remedy_of(error, target))
    reason = str(error).removeprefix(f"{target.display_name}: ").rstrip(".")
    if target.folder is not None:  # it is this process, which cannot be started or reached elsewhere
        return UnavailableError(
            f"{target.display_name} cannot go on for now: {reason}.", remedy=remedy_of(error, target) or "Run the command again."
        )
    if code_of(error) is not None:
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
    return UnavailableError(f"{target.display_name} does not answer: {reason}.", remedy=f"Start it, or correct {variable}.")


def migrate_storage(settings: Settings) -> tuple[Migration, ...]:
    """Bring the schema of the storage up to date; return the migrations that were applied."""
    applied: list[Migration] = []
    with migrated_storage(settings, applied=applied):
        return tuple(applied)


def prepare(clickhouse: ClickHouse, registry: AgencyRegistry) -> tuple[Migration, ...]:
    """Apply missing migrations and write the registry of agencies; return the migrations that were applied."""
    done = migrate(clickhouse, steps={number: partial(step, clickhouse) for number, step in _steps(registry).items()})
    write_agencies(clickhouse, registry)
    return done


def _steps(registry: AgencyRegistry) -> dict[int, Callable[[ClickHouse], None]]:
    """Number of a migration -> what is done after its statements."""
    return {13: lambda clickhouse: recount_dossiers(clickhouse, registry), 17: note_every_dossier}
