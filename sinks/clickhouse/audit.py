"""The audit as queries inside ClickHouse, which return totals and examples only.

Every query reads one civil day, or one hash shard of all values, so that neither memory nor an answer grows with the table. Each
query runs on one thread, at a lower priority than everything else.
"""

from __future__ import annotations

from sinks.clickhouse.kept_offsets import KeptOffsets
from sinks.clickhouse.repeat_search import RepeatSearch
from sinks.clickhouse.tally_comparison import TallyComparison


class ClickHouseAudit(TallyComparison, RepeatSearch, KeptOffsets):
    """Implements ``TallyAudit`` with one ClickHouse. Several threads may use an object at once."""
