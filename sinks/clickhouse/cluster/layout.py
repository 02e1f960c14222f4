"""Which servers are replicas of which shard, and on which servers the rows of each table are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from sinks.clickhouse.target import Target
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    COPIED_MONTHS,
    DOSSIER_CHANGES,
    DOSSIER_CORRECTIONS,
    DOSSIER_INDEX,
    DOSSIER_MESSAGES,
    DOSSIERS,
    EXPIRATION_RUNS,
    EXPIRED_DOSSIERS,
    EXPIRED_MESSAGES,
    OLD_EVENTS,
    SHARD_POSITION,
)

#: Tables with rows of messages, by the dossier of each, and what is made from them. Every node has all rows of the other tables.
BY_CODE: Final = frozenset({DOSSIER_MESSAGES})
BY_NUMBER: Final = frozenset({DOSSIER_INDEX, DOSSIER_CORRECTIONS, DOSSIERS, DOSSIER_CHANGES, EXPIRED_DOSSIERS})
#: Tallies and what is left of expired messages: a shard has a part of each. The last tables are of one shard alone.
PARTS: Final = frozenset({AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE, EXPIRED_MESSAGES, EXPIRATION_RUNS})
SHARDED: Final = BY_CODE | BY_NUMBER | PARTS | {OLD_EVENTS, COPIED_MONTHS, SHARD_POSITION}

#: The tables themselves lie in a database of this name and ending; the one without the ending reads all shards.
LOCAL: Final = "_local"


@dataclass(frozen=True, slots=True)
class Layout:
    """The servers of a cluster.

    Attributes:
        shards: the replicas of each shard, in the order of preference.
        name: the name of the cluster in ``remote_servers`` of every server, for the tables that read all shards.
    """

    shards: tuple[tuple[Target, ...], ...]
    name: str

    def __post_init__(self) -> None:
        targets = [target for shard in self.shards for target in shard]
        if not targets or not all(self.shards):
            raise ValueError("each shard needs at least one address")
        if any(target.folder is not None for target in targets):
            raise ValueError("the embedded engine cannot be part of a cluster; each address begins with http:// or https://")
        if len({target.database for target in targets}) > 1:
            raise ValueError("all addresses must name the same database")
        if len({(target.host, target.port) for target in targets}) < len(targets):
            raise ValueError("an address is listed twice")

    @property
    def database(self) -> str:
        """The name of the database whose tables read all shards."""
        return self.shards[0][0].database

    @property
    def display_name(self) -> str:
        """The cluster's name and size, for messages."""
        nodes = sum(len(shard) for shard in self.shards)
        return f"ClickHouse cluster {self.name!r} ({len(self.shards)} shards, {nodes} servers)"


def local(target: Target) -> Target:
    """The same server with the database that holds its own rows, not the one that reads all shards."""
    return replace(target, database=target.database + LOCAL)


def parse_layout(shards: Sequence[Sequence[str]], name: str, *, timeout: float, ca_file: str = "") -> Layout:
    """The layout of a cluster from the addresses of its servers, shard by shard. ``ca_file``: as for ``Target``.

    Raises:
        ValueError: an address cannot be parsed, or the addresses do not form a cluster.
    """
    return Layout(tuple(tuple(Target.parse(url, timeout=timeout, ca_file=ca_file) for url in shard) for shard in shards), name)
