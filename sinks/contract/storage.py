"""The roles of a storage, whether it is one server or a cluster."""

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
    """A single server, or one shard of a cluster. Its roles work on the dossiers that lie there only."""

    def expiry(self) -> MessageExpiry:
        """Lets the messages of the dossiers that lie here expire."""
        ...

    def dossier_audit(self) -> DossierAudit:
        """Compares the stored messages of dossiers with their index, corrections and rows."""
        ...

    def dossier_index(self) -> DossierIndex:
        """The index of messages by dossier."""
        ...


class Storage(Protocol):
    """The storage: one object for each role. Such an object is cheap to make, and several threads may use it at once."""

    @property
    def display_name(self) -> str:
        """The address of the storage for messages, without passwords."""
        ...

    def ids(self) -> Sequence[str]:
        """The ids of this storage, oldest first, which no other storage has.

        There are several when several workers created it at once.

        Raises:
            SinkError: the storage does not answer.
        """
        ...

    def events(self) -> EventStore:
        """Where a worker stores events and recounts tallies."""
        ...

    def dossier_index(self) -> DossierIndex:
        """The index of messages by dossier."""
        ...

    def dossier_table(self) -> DossierTable:
        """The table of dossiers: one judged row for each."""
        ...

    def dossier_histories(self) -> DossierHistories:
        """Reads the messages and decisions by which dossiers are judged."""
        ...

    def dossier_reader(self) -> DossierReader:
        """Reads the messages of single dossiers."""
        ...

    def dossier_figures(self) -> DossierFigureReader:
        """Counts figures over whole dossiers."""
        ...

    def tallies(self) -> TallyReader:
        """Reads figures from the tallies."""
        ...

    def findings(self) -> FindingReader:
        """Reads the dossiers that may have a finding."""
        ...

    def raw_messages(self) -> RawMessageReader:
        """Reads stored messages only, without index, corrections and tallies."""
        ...

    def audit(self) -> TallyAudit:
        """Compares the tallies with the messages that they count."""
        ...

    def dossier_audit(self) -> DossierAudit:
        """Compares the stored messages of dossiers with their index, corrections and rows."""
        ...

    def repair(self) -> TallyRepair:
        """Repairs tallies that a recount alone cannot repair."""
        ...

    def dead_letters(self) -> DeadLetterStore:
        """The rejected messages: read, marked, dropped."""
        ...

    def received_bytes(self) -> ReceivedBytes:
        """Removes the bytes of dead letters, which are kept for some days."""
        ...

    def dead_letter_limits(self, topic_id: Callable[[str], str]) -> DeadLetterLimitStore:
        """The stored state of the dead-letter limit; ``topic_id`` returns the id of a topic in Kafka, "" when it is not known."""
        ...

    def exclusions(self) -> ExclusionStore:
        """Operators' decisions to exclude dossiers."""
        ...

    def catalogue(self) -> CatalogueStore:
        """The service catalogue."""
        ...

    def catalogue_recounts(self) -> CatalogueRecounts:
        """Records with which loads of the catalogue all dossiers were counted."""
        ...

    def parts(self) -> Sequence[StoragePart]:
        """The server, or each shard of a cluster: a part holds everything about its dossiers."""
        ...

    def close(self) -> None:
        """Close every connection to the storage."""
        ...
