"""Counts findings, one hash shard of dossiers at a time. No finding is stored: each search applies the rules again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from domain.agencies import AgencyRegistry
from domain.catalogue import Catalogue, CatalogueEntry
from domain.errors import ConfigurationError
from domain.events import DossierEvent
from domain.findings import FindingKind, findings
from domain.periods import Period, civil_day
from pipeline.findings.found import Example, Found, Place, examples_of
from pipeline.ingest.histories import dossiers_in
from sinks.contract.audit import HashShard
from sinks.contract.findings import FindingReader, FindingScope

#: Messages of the period in one shard, about. ClickHouse remembers the dossiers of a shard: 50 bytes for each.
SHARD_MESSAGES: Final = 2_000_000


class FindingSteps(Protocol):
    """The steps of a search for findings, done in this process or in a running one."""

    def shards(self, scope: FindingScope) -> int:
        """The number of hash shards in which to search ``scope``."""
        ...

    def found(self, scope: FindingScope, shard: HashShard) -> Found:
        """The findings of one hash shard of dossiers, by day."""
        ...


def found_in_all(
    steps: FindingSteps, scope: FindingScope, *, advance: Callable[[int, int], None] = lambda _done, _of: None
) -> Found:
    """The findings of all shards.

    Args:
        steps: the steps of the search.
        scope: the period and the agencies.
        advance: called before the first shard and after each, with the number of shards that are done and of all.
    """
    count = steps.shards(scope)
    total = Found()
    advance(0, count)
    for index in range(count):
        total += steps.found(scope, HashShard(index, count))
        advance(index + 1, count)
    return total


class FindingService:
    """Implements ``FindingSteps`` on the storage.

    Args:
        reader: reads the dossiers with an event in a scope.
        registry: the registry of agencies.
        catalogue: reads the catalogue entries that are in force on a day of a period.
        shard_messages: about how many messages of the scope one shard has.
    """

    def __init__(
        self,
        reader: FindingReader,
        registry: AgencyRegistry,
        *,
        catalogue: Callable[[Period], Iterable[CatalogueEntry]] = lambda _period: (),
        shard_messages: int = SHARD_MESSAGES,
    ) -> None:
        self._reader, self._registry, self._catalogue, self._shard_messages = reader, registry, catalogue, shard_messages

    def shards(self, scope: FindingScope) -> int:
        """The number of hash shards in which to search ``scope``.

        Raises:
            ConfigurationError: an agency is unknown, or messages of these days have expired.
        """
        self._require_known(scope)
        return max(1, -(-self._reader.messages_within(scope) // self._shard_messages))

    def found(self, scope: FindingScope, shard: HashShard) -> Found:
        """The findings of one hash shard of dossiers.

        A finding about a code, not about an event, is counted in every scope in which the code has a message.

        Raises:
            ConfigurationError: an agency is unknown.
            SinkError: the storage does not answer.
        """
        self._require_known(scope)
        counted: Counter[tuple[Place, FindingKind]] = Counter()
        examples: dict[FindingKind, list[tuple[bytes, Place]]] = defaultdict(list)
        named: dict[bytes, DossierEvent] = {}
        catalogue = Catalogue(self._catalogue(scope.period))
        for history in dossiers_in(self._reader.histories(scope, shard)):
            if history.expired or not history.messages:  # its messages are gone, or its first one is not indexed yet
                continue
            for finding in findings(history.messages, self._registry, history.decisions, catalogue):
                place = Place(None, None)
                if finding.event is not None:
                    place = Place(finding.event.agency, civil_day(finding.event.occurred_at))
                    if not _within(place, scope):
                        continue
                counted[place, finding.kind] += 1
                if len(examples[finding.kind]) < examples_of(finding.kind):
                    examples[finding.kind].append((history.dossier, place))
                    named[history.dossier] = finding.event or history.messages[0]
        codes = self._reader.codes_of(named)
        return Found(
            dict(counted),
            {
                kind: tuple(Example(codes.get(dossier, ""), place) for dossier, place in examples[kind])
                for kind in FindingKind
                if kind in examples
            },
        )

    def _require_known(self, scope: FindingScope) -> None:
        for code in scope.agencies or ():
            if code not in self._registry:
                raise ConfigurationError(
                    f"There is no agency with the code {code[:40]!r}.", remedy="Write a level-1 code such as H17 or G01."
                )


def _within(place: Place, scope: FindingScope) -> bool:
    return (
        place.day is not None
        and scope.period.start <= place.day <= scope.period.end
        and (scope.agencies is None or place.agency in scope.agencies)
    )
