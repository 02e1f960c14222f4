"""The storage on one ClickHouse: embedded or a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sinks.clickhouse.audit import ClickHouseAudit
from sinks.clickhouse.catalogue_recounts import ClickHouseCatalogueRecounts
from sinks.clickhouse.catalogue_store import ClickHouseCatalogue
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_limits import ClickHouseDeadLetterLimits
from sinks.clickhouse.dead_letter_store import ClickHouseDeadLetters
from sinks.clickhouse.dossier_audit import ClickHouseDossierAudit
from sinks.clickhouse.dossier_figures import ClickHouseDossierFigures
from sinks.clickhouse.dossier_histories import ClickHouseDossierHistories
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.dossier_reader import ClickHouseDossierReader
from sinks.clickhouse.dossier_table import ClickHouseDossierTable
from sinks.clickhouse.exclusions import ClickHouseExclusions
from sinks.clickhouse.expiry import ClickHouseMessageExpiry
from sinks.clickhouse.finding_reader import ClickHouseFindingReader
from sinks.clickhouse.raw_messages import ClickHouseRawMessages
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.received_bytes import ClickHouseReceivedBytes
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.storage_ids import storage_ids
from sinks.clickhouse.store import ClickHouseStore
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
from sinks.contract.storage import StoragePart
from sinks.contract.tallies import TallyReader


class ClickHouseStorage:
    """Implements ``Storage`` with one ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self.clickhouse = clickhouse

    @property
    def display_name(self) -> str:
        """The address for messages, without the password."""
        return self.clickhouse.target.display_name

    def ids(self) -> Sequence[str]:
        """See ``Storage.ids``."""
        return storage_ids(self.clickhouse)

    def events(self) -> EventStore:
        """See ``Storage.events``."""
        return ClickHouseStore(self.clickhouse)

    def dossier_index(self) -> DossierIndex:
        """See ``Storage.dossier_index``."""
        return ClickHouseDossierIndex(self.clickhouse)

    def dossier_table(self) -> DossierTable:
        """See ``Storage.dossier_table``."""
        return ClickHouseDossierTable(self.clickhouse)

    def dossier_histories(self) -> DossierHistories:
        """See ``Storage.dossier_histories``."""
        return ClickHouseDossierHistories(self.clickhouse)

    def dossier_reader(self) -> DossierReader:
        """See ``Storage.dossier_reader``."""
        return ClickHouseDossierReader(self.clickhouse)

    def dossier_figures(self) -> DossierFigureReader:
        """See ``Storage.dossier_figures``."""
        return ClickHouseDossierFigures(self.clickhouse)

    def tallies(self) -> TallyReader:
        """See ``Storage.tallies``."""
        return ClickHouseReader(self.clickhouse)

    def findings(self) -> FindingReader:
        """See ``Storage.findings``."""
        return ClickHouseFindingReader(self.clickhouse)

    def raw_messages(self) -> RawMessageReader:
        """See ``Storage.raw_messages``."""
        return ClickHouseRawMessages(self.clickhouse)

    def audit(self) -> TallyAudit:
        """See ``Storage.audit``."""
        return ClickHouseAudit(self.clickhouse)

    def dossier_audit(self) -> DossierAudit:
        """See ``Storage.dossier_audit``."""
        return ClickHouseDossierAudit(self.clickhouse)

    def repair(self) -> TallyRepair:
        """See ``Storage.repair``."""
        return ClickHouseRepair(self.clickhouse)

    def dead_letters(self) -> DeadLetterStore:
        """See ``Storage.dead_letters``."""
        return ClickHouseDeadLetters(self.clickhouse)

    def exclusions(self) -> ExclusionStore:
        """See ``Storage.exclusions``."""
        return ClickHouseExclusions(self.clickhouse)

    def catalogue(self) -> CatalogueStore:
        """See ``Storage.catalogue``."""
        return ClickHouseCatalogue(self.clickhouse)

    def catalogue_recounts(self) -> CatalogueRecounts:
        """See ``Storage.catalogue_recounts``."""
        return ClickHouseCatalogueRecounts(self.clickhouse)

    def received_bytes(self) -> ReceivedBytes:
        """See ``Storage.received_bytes``."""
        return ClickHouseReceivedBytes(self.clickhouse)

    def dead_letter_limits(self, topic_id: Callable[[str], str]) -> DeadLetterLimitStore:
        """See ``Storage.dead_letter_limits``."""
        return ClickHouseDeadLetterLimits(self.clickhouse, topic_id=topic_id)

    def expiry(self) -> MessageExpiry:
        """Lets messages expire."""
        return ClickHouseMessageExpiry(self.clickhouse)

    def parts(self) -> Sequence[StoragePart]:
        """See ``Storage.parts``."""
        return (self,)

    def close(self) -> None:
        """Close every connection."""
        self.clickhouse.close()
