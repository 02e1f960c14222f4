"""Reads figures, dossiers and messages over all shards, and adds up the results of the shards.

Distributed tables would choose a replica by themselves, perhaps one that lacks acknowledged rows. So every shard is asked
separately, on a replica that has every acknowledged row.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

import numpy as np
import pyarrow as pa

from domain.catalogue_levels import CatalogueLevels, Generation
from domain.events import DossierEvent
from domain.periods import Period
from sinks.clickhouse.catalogue_recounts import ClickHouseCatalogueRecounts
from sinks.clickhouse.cluster.cluster import Cluster, Result
from sinks.clickhouse.cluster.replicas import of_each
from sinks.clickhouse.cluster.routing import shard_of_codes, shard_of_number
from sinks.clickhouse.dossier_figures import ClickHouseDossierFigures
from sinks.clickhouse.dossier_reader import ClickHouseDossierReader
from sinks.clickhouse.finding_reader import ClickHouseFindingReader
from sinks.clickhouse.raw_messages import ClickHouseRawMessages
from sinks.clickhouse.reader import ClickHouseReader
from sinks.contract.audit import HashShard
from sinks.contract.dossier_figures import FigureQuestion, GroupCounts
from sinks.contract.findings import FindingScope
from sinks.contract.tallies import Arrivals, Counts, ServicesWithDossiers, TallyTotals

Key = TypeVar("Key", bound=Hashable)
_COUNTS = tuple(field.name for field in fields(Counts))


class ClusterReader:
    """Implements ``TallyReader`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseReader(shard) for shard in cluster.shards)
        self._home, self._whole = ClickHouseReader(cluster.home), ClickHouseReader(cluster.whole)

    def counts_between(self, start: dt.datetime, end: dt.datetime) -> Mapping[str, Counts]:
        """Counts by agency from the minute tallies; see ``TallyReader.counts_between``."""
        return _added(self._each(lambda reader: reader.counts_between(start, end)))

    def counts_of_days(self, first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by agency from the day tallies; see ``TallyReader.counts_of_days``."""
        return _added(self._each(lambda reader: reader.counts_of_days(first, last)))

    def counts_by_step(self, first: dt.date, last: dt.date, seconds: int) -> Mapping[tuple[str, int], Counts]:
        """Counts by agency and step from the minute tallies; see ``TallyReader.counts_by_step``."""
        return _added(self._each(lambda reader: reader.counts_by_step(first, last, seconds)))

    def events_by_day(self) -> Mapping[tuple[str, dt.date], int]:
        """Events by agency and day from the day tallies; see ``TallyReader.events_by_day``."""
        found: Counter[tuple[str, dt.date]] = Counter()
        for part in self._each(lambda reader: reader.events_by_day()):
            found.update(part)
        return found

    def counts_by_day(self, first: dt.date, last: dt.date) -> Mapping[tuple[str, dt.date], Counts]:
        """Counts by agency and day from the day tallies; see ``TallyReader.counts_by_day``."""
        return _added(self._each(lambda reader: reader.counts_by_day(first, last)))

    def counts_of_procedures(self, agencies: Sequence[str], first: dt.date, last: dt.date) -> Mapping[str, Counts]:
        """Counts by procedure; see ``TallyReader.counts_of_procedures``."""
        return _added(self._each(lambda reader: reader.counts_of_procedures(agencies, first, last)))

    def services_with_dossiers(self, first: dt.date, last: dt.date) -> ServicesWithDossiers:
        """Services with a dossier; see ``TallyReader.services_with_dossiers``."""
        found = self._each(lambda reader: reader.services_with_dossiers(first, last))
        return ServicesWithDossiers(
            frozenset().union(*(each.submitted for each in found)), frozenset().union(*(each.submitted_online for each in found))
        )

    def active_days(self, first: dt.date, last: dt.date) -> Mapping[str, np.ndarray]:
        """Days with an event by agency; see ``TallyReader.active_days``."""
        found: dict[str, np.ndarray] = {}
        for part in self._each(lambda reader: reader.active_days(first, last)):
            for agency, days in part.items():
                found[agency] = found[agency] | days if agency in found else days
        return found

    def last_events(self, until: dt.datetime) -> Mapping[str, dt.datetime]:
        """Time of each agency's newest event up to ``until``; see ``TallyReader.last_events``."""
        found: dict[str, dt.datetime] = {}
        for part in self._each(lambda reader: reader.last_events(until)):
            for agency, at in part.items():
                found[agency] = max(at, found.get(agency, at))
        return found

    def totals(self) -> TallyTotals:
        """Distinct events stored and tallied on all shards; see ``TallyReader.totals``."""
        found = self._each(lambda reader: reader.totals())
        return TallyTotals(sum(each.stored for each in found), sum(each.tallied for each in found))

    def dead_letters_by_reason(self) -> Mapping[str, int]:
        """Dead-lettered messages so far; see ``TallyReader.dead_letters_by_reason``."""
        return self._home.dead_letters_by_reason()

    def dead_letter_agencies(self, within: dt.timedelta) -> Mapping[str, int]:
        """Recent dead letters by agency; see ``TallyReader.dead_letter_agencies``."""
        return self._home.dead_letter_agencies(within)

    def arrivals(self, within: dt.timedelta) -> Arrivals:
        """Distinct messages that arrived recently; see ``TallyReader.arrivals``. Each shard tells the same dead letters."""
        found = self._each(lambda reader: reader.arrivals(within))
        return Arrivals(sum(each.events for each in found), max(each.dead_letters for each in found))

    def events(self, first: dt.date, last: dt.date, agencies: Sequence[str] | None) -> Iterator[bytes]:
        """Distinct events as NDJSON, merged by the server; see ``TallyReader.events``."""
        return self._whole.events(first, last, agencies)

    def free_space(self) -> float | None:
        """Share of the fullest disk of all nodes that is free; see ``TallyReader.free_space``."""
        nodes = [node for shard in self._cluster.nodes for node in shard]
        shares = of_each(nodes, lambda node: ClickHouseReader(node).free_space())
        return min((share for share in shares if share is not None), default=None)

    def ping(self) -> None:
        """Return when every shard answers."""
        self._each(lambda reader: reader.ping())

    def _each(self, action: Callable[[ClickHouseReader], Result]) -> list[Result]:
        return self._cluster.each(lambda number: action(self._shards[number]))


class ClusterDossierFigures:
    """Implements ``DossierFigureReader`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseDossierFigures(shard) for shard in cluster.shards)

    def counts(self, group: str, question: FigureQuestion) -> GroupCounts:
        """The counts of a group; see ``DossierFigureReader.counts``. A dossier adds on one shard."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for part in self._cluster.each(lambda number: self._shards[number].counts(group, question)):
            for key, counts in part.items():
                found.setdefault(key, Counter()).update(counts)
        return found


class ClusterDossierReader:
    """Implements ``DossierReader`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseDossierReader(shard) for shard in cluster.shards)

    def messages(self, code: str) -> Sequence[DossierEvent]:
        """The distinct messages of a dossier; see ``DossierReader.messages``."""
        return self._shards[int(shard_of_codes(pa.array([code], pa.string()), len(self._shards))[0])].messages(code)

    def expired_at(self, code: str) -> dt.datetime | None:
        """When the messages of a dossier expired; see ``DossierReader.expired_at``."""
        return self._shards[int(shard_of_codes(pa.array([code], pa.string()), len(self._shards))[0])].expired_at(code)

    def messages_of(self, codes: Sequence[str]) -> Mapping[str, Sequence[DossierEvent]]:
        """The distinct messages of several dossiers; see ``DossierReader.messages_of``."""
        wanted = pa.table({"dossier_code": pa.array(codes, pa.string())})
        found: dict[str, Sequence[DossierEvent]] = {}
        for part in self._cluster.split(
            wanted, lambda number, part: self._shards[number].messages_of(part.column("dossier_code").to_pylist())
        ):
            found.update(part)
        return found


class ClusterFindingReader:
    """Implements ``FindingReader`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseFindingReader(shard) for shard in cluster.shards)

    def messages_within(self, scope: FindingScope) -> int:
        """How many messages lie in the scope; see ``FindingReader.messages_within``."""
        return sum(self._cluster.each(lambda number: self._shards[number].messages_within(scope)))

    def histories(self, scope: FindingScope, shard: HashShard) -> Iterator[pa.RecordBatch]:
        """All messages and decisions of dossiers that may have a finding; see ``FindingReader.histories``."""
        for reader in self._shards:
            yield from reader.histories(scope, shard)

    def codes_of(self, messages: Mapping[bytes, DossierEvent]) -> Mapping[bytes, str]:
        """The codes of dossiers; see ``FindingReader.codes_of``."""
        parts: list[dict[bytes, DossierEvent]] = [{} for _ in self._shards]
        for dossier, message in messages.items():
            parts[shard_of_number(dossier, len(parts))][dossier] = message
        found = self._cluster.each(lambda number: self._shards[number].codes_of(parts[number]))
        return {dossier: code for part in found for dossier, code in part.items()}


class ClusterRawMessages:
    """Implements ``RawMessageReader`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseRawMessages(shard) for shard in cluster.shards)

    def messages_within(self, periods: Sequence[Period]) -> int:
        """How many messages lie in one of the periods; see ``RawMessageReader.messages_within``."""
        return sum(self._cluster.each(lambda number: self._shards[number].messages_within(periods)))

    def late_codes(self) -> Sequence[str]:
        """The codes of dossiers that got messages after theirs expired; see ``RawMessageReader.late_codes``."""
        return [code for part in self._cluster.each(lambda number: self._shards[number].late_codes()) for code in part]

    def by_dossier(self, periods: Sequence[Period], shard: HashShard) -> Iterator[pa.RecordBatch]:
        """All messages of dossiers with a message in one of the periods; see ``RawMessageReader.by_dossier``."""
        for reader in self._shards:
            yield from reader.by_dossier(periods, shard)


class ClusterCatalogueRecounts:
    """Implements ``CatalogueRecounts`` over all shards of a cluster. Several threads may use an object at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = tuple(ClickHouseCatalogueRecounts(shard) for shard in cluster.shards)
        self._home = ClickHouseCatalogueRecounts(cluster.home)

    def unfinished(self, agencies: Collection[str] | None = None) -> Mapping[str, Generation]:
        """The last loads whose recount is not finished; see ``CatalogueRecounts.unfinished``."""
        return self._home.unfinished(agencies)

    def levels(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the last loads; see ``CatalogueRecounts.levels``."""
        return self._home.levels(agencies)

    def levels_before(self, agencies: Collection[str]) -> CatalogueLevels:
        """The levels of the loads of the last finished recounts; see ``CatalogueRecounts.levels_before``."""
        return self._home.levels_before(agencies)

    def days(self, agencies: Collection[str]) -> Mapping[dt.date, int]:
        """The civil days with messages of dossiers that must be recounted, on any shard; see ``CatalogueRecounts.days``."""
        found: Counter[dt.date] = Counter()
        for days in self._cluster.each(lambda number: self._shards[number].days(agencies)):
            found.update(days)
        return dict(sorted(found.items()))

    def dossiers(self, agencies: Collection[str], day: dt.date) -> Iterator[pa.Array]:
        """The dossiers of a day that must be recounted, shard by shard; see ``CatalogueRecounts.dossiers``."""
        for shard in self._shards:
            yield from shard.dossiers(agencies, day)

    def finish(self, loads: Mapping[str, Generation]) -> None:
        """Record for which loads the recount is finished; see ``CatalogueRecounts.finish``."""
        self._home.finish(loads)


def _added(parts: Sequence[Mapping[Key, Counts]]) -> Mapping[Key, Counts]:
    """The counts of all parts added up by key."""
    found: dict[Key, Counts] = {}
    for part in parts:
        for key, counts in part.items():
            known = found.get(key)
            found[key] = counts if known is None else _sum(known, counts)
    return found


def _sum(one: Counts, other: Counts) -> Counts:
    return Counts(*(getattr(one, name) + getattr(other, name) for name in _COUNTS))
