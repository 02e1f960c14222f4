"""Everything that a storage offers, whether it is one server or a cluster of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sinks.contract.audit import TallyAudit, TallyRepair
from sinks.contract.catalogue import CatalogueStore
from sinks.contract.catalogue_recounts import CatalogueRecounts
from sinks.contract.dead_letters import DeadLetterLimitStore, DeadLetterStore, ReceivedBytes
from sinks.contract.dossier_audit import DossierAudit
from sinks.contract.dossier_figures import DossierFigureReader
from sinks.contract.dossier_table import DossierHistories, DossierTable
from sinks.contract.dossiers import DossierIndex, DossierReader
from sinks.contract.events import EventStore
from sinks.contract.exclusions import ExclusionStore
from sinks.contract.expiry import MessageExpiry
from sinks.contract.findings import FindingReader
from sinks.contract.raw_messages import RawMessageReader
from sinks.contract.tallies import TallyReader


class StoragePart(Protocol):
    """A single server, or one shard of a cluster: what works on the dossiers there alone."""

    def expiry(self) -> MessageExpiry:
        """Lets messages expire."""
        ...

    def dossier_audit(self) -> DossierAudit:
        """Dossiers beside what is made from them."""
        ...

    def dossier_index(self) -> DossierIndex:
        """The messages by dossier."""
        ...


class Storage(Protocol):
    """One part for each role; a part is cheap to make, and several threads may use it at once."""

    @property
    def display_name(self) -> str:
        """The storage for messages, without passwords."""
        ...

    def ids(self) -> Sequence[str]:
        """What tells this storage from others, the oldest first; several belong to one storage whose workers started at once.

        Raises:
            SinkError: it does not answer.
        """
        ...

    def events(self) -> EventStore:
        """Where a worker writes events, and recounts."""
        ...

    def dossier_index(self) -> DossierIndex:
        """The messages by dossier."""
        ...

    def dossier_table(self) -> DossierTable:
        """The rows of dossiers."""
        ...

    def dossier_histories(self) -> DossierHistories:
        """What dossiers are judged by."""
        ...

    def dossier_reader(self) -> DossierReader:
        """Single dossiers."""
        ...

    def dossier_figures(self) -> DossierFigureReader:
        """Figures over whole dossiers."""
        ...

    def tallies(self) -> TallyReader:
        """Figures from the tallies."""
        ...

    def findings(self) -> FindingReader:
        """Dossiers that may have a finding."""
        ...

    def raw_messages(self) -> RawMessageReader:
        """The stored messages alone."""
        ...

    def audit(self) -> TallyAudit:
        """Tallies beside what they count."""
        ...

    def dossier_audit(self) -> DossierAudit:
        """Dossiers beside what is made from them."""
        ...

    def repair(self) -> TallyRepair:
        """What a recount cannot do alone."""
        ...

    def dead_letters(self) -> DeadLetterStore:
        """Messages that could not be counted."""
        ...

    def received_bytes(self) -> ReceivedBytes:
        """The bytes of dead letters, which are removed after some days."""
        ...

    def dead_letter_limits(self, topic_id: Callable[[str], str]) -> DeadLetterLimitStore:
        """The state of the dead-letter limit; ``topic_id``: the id of a topic in Kafka, "" when it is not known."""
        ...

    def exclusions(self) -> ExclusionStore:
        """Decisions about dossiers."""
        ...

    def catalogue(self) -> CatalogueStore:
        """The service catalogue."""
        ...

    def catalogue_recounts(self) -> CatalogueRecounts:
        """Which loads of the catalogue dossiers were counted with."""
        ...

    def parts(self) -> Sequence[StoragePart]:
        """What lets messages expire, for each shard: everything of a dossier lies on one."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
