"""The ClickHouse servers of the settings, each examined alone, so that one can be asked although others do not answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from domain.errors import ConfigurationError, PortalPulseError
from pipeline.settings import ClickHouseSettings, Settings
from pipeline.wiring.storage import layout_of, target_of, unavailable, variable_of
from sinks.clickhouse import server_state
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.cluster.layout import Layout, local
from sinks.clickhouse.cluster.positions import check_single_server, is_noted
from sinks.clickhouse.expiring_rows import refuse_expiring_rows
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.target import Target
from sinks.contract.servers import Disk, ReplicaTable, Schema, ServerIdentity
from sinks.errors import SinkError
from sinks.tables import WHOLE_TABLES

Answer = TypeVar("Answer")

#: Asked about where the tables may not be there yet.
_SYSTEM: Final = "system"
_WRITING: Final = ("INSERT", "ALTER", "CREATE TABLE", "DROP TABLE", "OPTIMIZE")


class ExaminedServer:
    """One ClickHouse server. Methods only read, and raise ``PortalPulseError`` with a remedy when the server does not let them.

    Attributes:
        name: the server's address for messages, without the password.
        place: (shard, replica), both counted from 1; None for a single server.
        user: the user as which the server is asked.
        database: the database with the server's tables.
    """

    def __init__(self, target: Target, layout: Layout | None = None, place: tuple[int, int] | None = None) -> None:
        self._layout = layout
        self.place = place
        self.name = target.display_name
        self.user = target.user
        self._wide = target.database
        self._target = target if layout is None else local(target)
        self.database = self._target.database
        self._variable = variable_of(layout)
        self._tables = ClickHouse(self._target)
        self._system = ClickHouse(replace(self._target, database=_SYSTEM))

    def close(self) -> None:
        """Close the connections to the server."""
        self._tables.close()
        self._system.close()

    @property
    def tls(self) -> tuple[str, int] | None:
        """Host and port of a server with TLS; None: the server is used without TLS."""
        return (self._target.host, self._target.port) if self._target.secure else None

    def identity(self) -> ServerIdentity:
        """Version, user, start time and clock of the server."""
        return self._ask(self._system, server_state.read_identity)

    def schema(self) -> Schema:
        """The migrations that the server's database has."""
        return self._ask(self._tables, server_state.read_schema)

    def refuse_incomplete_tables(self) -> None:
        """Check that no rows are hidden.

        Raises:
            UnavailableError: a row policy hides rows from this user.
        """
        self._ask(self._tables, lambda tables: refuse_hidden_rows(tables, WHOLE_TABLES))

    def refuse_expiring_tables(self) -> None:
        """Check that no table has a TTL.

        Raises:
            UnavailableError: a table deletes rows by itself.
        """
        self._ask(self._tables, lambda tables: refuse_expiring_rows(tables, WHOLE_TABLES))

    def check_position(self) -> None:
        """Check that the server has the shard that the settings give it.

        Raises:
            UnavailableError: the server has another shard.
        """
        if self._layout is None or self.place is None:
            self._ask(self._tables, check_single_server)
        else:
            number, count = self.place[0] - 1, len(self._layout.shards)
            self._ask(self._tables, lambda tables: is_noted(tables, number, count))

    def missing_rights(self) -> tuple[str, ...]:
        """The rights that a worker needs and the user lacks, each as the text between ``GRANT`` and ``TO user``."""
        return self._missing([f"{right} ON {self.database}.*" for right in _WRITING])

    def missing_cluster_rights(self) -> tuple[str, ...]:
        """The rights that every reader of a cluster needs and the user lacks."""
        if self._layout is None:
            return ()
        return self._missing([f"SYSTEM SYNC REPLICA ON {self.database}.*"])

    def lacks(self, right: str) -> bool:
        """Whether the user lacks a right, for example ``SELECT ON system.replicas``."""
        return bool(self._missing([right]))

    def _missing(self, wanted: Sequence[str]) -> tuple[str, ...]:
        return self._ask(self._system, lambda system: server_state.missing_rights(system, wanted))

    def disks(self) -> tuple[Disk, ...]:
        """The disks of the server."""
        return self._ask(self._system, server_state.read_disks)

    def replicas(self) -> tuple[ReplicaTable, ...]:
        """The replicated tables of the server, with their state."""
        return self._ask(self._tables, server_state.read_replicas)

    def check_cluster(self) -> None:
        """Check that the server knows the cluster of the settings.

        Raises:
            ConfigurationError: it does not know the cluster, or with another number of shards or servers.
        """
        if self._layout is None:
            return
        name, wanted = self._layout.name, (len(self._layout.shards), sum(map(len, self._layout.shards)))
        found = self._ask(self._system, lambda system: server_state.read_cluster(system, name))
        if found == wanted:
            return
        known = f"knows {found[0]} shards and {found[1]} servers of it" if found[1] else "does not know it"
        raise ConfigurationError(
            f"The settings have {wanted[0]} shards and {wanted[1]} servers of the cluster {name!r}, and {self.name} {known}.",
            remedy="Correct remote_servers of the server, PORTALPULSE_CLICKHOUSE__CLUSTER or PORTALPULSE_CLICKHOUSE__SHARDS.",
        )

    def _ask(self, clickhouse: ClickHouse, read: Callable[[ClickHouse], Answer]) -> Answer:
        try:
            return read(clickhouse)
        except SinkError as error:
            raise self._explained(error) from error

    def _explained(self, error: SinkError) -> PortalPulseError:
        return unavailable(error, self._target, variable=self._variable)


def servers_of(settings: Settings, *, seconds: float) -> list[ExaminedServer]:
    """The ClickHouse servers of the settings; empty for the embedded engine. ``seconds``: longest wait for an answer.

    Raises:
        ConfigurationError: an address or the file of authorities cannot be used.
    """
    hurried = settings.model_copy(update={"clickhouse": _hurried(settings.clickhouse, seconds)})
    layout = layout_of(hurried)
    if layout is None:
        target = target_of(hurried)
        return [] if target.folder is not None else [ExaminedServer(target)]
    return [
        ExaminedServer(target, layout, (shard, replica))
        for shard, targets in enumerate(layout.shards, 1)
        for replica, target in enumerate(targets, 1)
    ]


def _hurried(clickhouse: ClickHouseSettings, seconds: float) -> ClickHouseSettings:
    return clickhouse.model_copy(update={"timeout_seconds": min(clickhouse.timeout_seconds, seconds)})
