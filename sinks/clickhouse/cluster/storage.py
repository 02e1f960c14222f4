"""A cluster of ClickHouse servers as a storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sinks.clickhouse.catalogue_store import ClickHouseCatalogue
from sinks.clickhouse.cluster.auditing import ClusterAudit, ClusterDossierAudit, ClusterRepair
from sinks.clickhouse.cluster.cluster import Cluster
from sinks.clickhouse.cluster.dossiers import ClusterDossierHistories, ClusterDossierTable
from sinks.clickhouse.cluster.reading import (
    ClusterCatalogueRecounts,
    ClusterDossierFigures,
    ClusterDossierReader,
    ClusterFindingReader,
    ClusterRawMessages,
    ClusterReader,
)
from sinks.clickhouse.cluster.writing import ClusterDossierIndex, ClusterStore
from sinks.clickhouse.dead_letter_limits import ClickHouseDeadLetterLimits
from sinks.clickhouse.dead_letter_store import ClickHouseDeadLetters
from sinks.clickhouse.exclusions import ClickHouseExclusions
from sinks.clickhouse.received_bytes import ClickHouseReceivedBytes
from sinks.clickhouse.storage import ClickHouseStorage
from sinks.clickhouse.storage_ids import storage_ids
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
from sinks.contract.findings import FindingReader
from sinks.contract.raw_messages import RawMessageReader
from sinks.contract.storage import StoragePart
from sinks.contract.tallies import TallyReader


class ClusterStorage:
    """Implements ``Storage`` over all shards of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @property
    def display_name(self) -> str:
        """The address for messages, without the password."""
        return self.cluster.layout.display_name

    def ids(self) -> Sequence[str]:
        """See ``Storage.ids``."""
        return storage_ids(self.cluster.home)

    def events(self) -> EventStore:
        """See ``Storage.events``."""
        return ClusterStore(self.cluster)

    def dossier_index(self) -> DossierIndex:
        """See ``Storage.dossier_index``."""
        return ClusterDossierIndex(self.cluster)

    def dossier_table(self) -> DossierTable:
        """See ``Storage.dossier_table``."""
        return ClusterDossierTable(self.cluster)

    def dossier_histories(self) -> DossierHistories:
        """See ``Storage.dossier_histories``."""
        return ClusterDossierHistories(self.cluster)

    def dossier_reader(self) -> DossierReader:
        """See ``Storage.dossier_reader``."""
        return ClusterDossierReader(self.cluster)

    def dossier_figures(self) -> DossierFigureReader:
        """See ``Storage.dossier_figures``."""
        return ClusterDossierFigures(self.cluster)

    def tallies(self) -> TallyReader:
        """See ``Storage.tallies``."""
        return ClusterReader(self.cluster)

    def findings(self) -> FindingReader:
        """See ``Storage.findings``."""
        return ClusterFindingReader(self.cluster)

    def raw_messages(self) -> RawMessageReader:
        """See ``Storage.raw_messages``."""
        return ClusterRawMessages(self.cluster)

    def audit(self) -> TallyAudit:
        """See ``Storage.audit``."""
        return ClusterAudit(self.cluster)

    def dossier_audit(self) -> DossierAudit:
        """See ``Storage.dossier_audit``."""
        return ClusterDossierAudit(self.cluster)

    def repair(self) -> TallyRepair:
        """See ``Storage.repair``."""
        return ClusterRepair(self.cluster)

    def dead_letters(self) -> DeadLetterStore:
        """See ``Storage.dead_letters``."""
        return ClickHouseDeadLetters(self.cluster.home)

    def exclusions(self) -> ExclusionStore:
        """See ``Storage.exclusions``."""
        return ClickHouseExclusions(self.cluster.home)

    def catalogue(self) -> CatalogueStore:
        """See ``Storage.catalogue``."""
        return ClickHouseCatalogue(self.cluster.home)

    def catalogue_recounts(self) -> CatalogueRecounts:
        """See ``Storage.catalogue_recounts``."""
        return ClusterCatalogueRecounts(self.cluster)

    def received_bytes(self) -> ReceivedBytes:
        """See ``Storage.received_bytes``."""
        return ClickHouseReceivedBytes(self.cluster.home)

    def dead_letter_limits(self, topic_id: Callable[[str], str]) -> DeadLetterLimitStore:
        """See ``Storage.dead_letter_limits``."""
        return ClickHouseDeadLetterLimits(self.cluster.home, topic_id=topic_id)

    def parts(self) -> Sequence[StoragePart]:
        """See ``Storage.parts``."""
        return tuple(ClickHouseStorage(shard) for shard in self.cluster.shards)

    def close(self) -> None:
        """Close every connection."""
        self.cluster.close()
