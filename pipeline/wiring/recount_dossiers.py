"""Makes a database that counted events count dossiers: the step of migration 0013, before a worker reads from Kafka.

Every stored event is copied to ``dossier_messages``, its dossier is resolved as by a worker, and all tallies are recounted.
The step may break off anywhere: the months that are done are recorded, and everything else can be repeated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.agencies import AgencyRegistry
from domain.tiers import Tier
from domain.units import EventUnit, unit_of_event
from pipeline.decode.event_schema import EVENT_SCHEMA, RETURN_WAYS, SERVICE_LEVELS
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.ingest.dossier_rows import RESOLVED_COLUMNS
from pipeline.logs import get_logger
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dossier_index import ClickHouseDossierIndex
from sinks.clickhouse.old_events import OldEvents, month_end, month_start
from sinks.clickhouse.repair import ClickHouseRepair
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.store import ClickHouseStore
from sinks.contract.tallies import Days, Span
from sinks.tables import (
    AGENCY_DAY,
    AGENCY_DAY_PROCEDURE,
    AGENCY_MINUTE,
    DOSSIER_CORRECTIONS,
    DOSSIER_INDEX,
    DOSSIER_MESSAGES,
    TALLY_EPOCHS,
)

#: What the resolver, the recounts and the repair read; later migrations add other tables.
_READ: Final = (
    *(DOSSIER_MESSAGES, DOSSIER_INDEX, DOSSIER_CORRECTIONS),
    *(AGENCY_MINUTE, AGENCY_DAY, AGENCY_DAY_PROCEDURE, TALLY_EPOCHS),
)
#: Messages copied at once.
_ROWS = 250_000
_MILLISECONDS_OF_DAY = 86_400_000
log = get_logger("wiring")

#: Called with the messages that are done and those that there are.
Progress = Callable[[int, int], None]


def recount_dossiers(clickhouse: ClickHouse, registry: AgencyRegistry, progress: Progress = lambda _done, _all: None) -> None:
    """Copy and resolve every event of the old table, the newest month first; then recount every month."""
    old = OldEvents(clickhouse)
    months = old.months()
    if not months:
        return
    total = sum(count for _, count, _ in months)
    log.info("counting_dossiers_of_stored_events", events=total, months=len(months))
    store = ClickHouseStore(clickhouse, expiring=False)
    resolver = DossierResolver(ClickHouseDossierIndex(clickhouse, later_tables=False))
    done = 0
    for month, count, is_copied in months:
        if not is_copied:
            for rows in _chunks(old, month, registry):
                store.insert_events(rows)
                resolver.resolve(resolver.add(rows.select(RESOLVED_COLUMNS)))
                progress(min(done + rows.num_rows, total), total)
            old.copied(month, count)
        done += count
        progress(done, total)
    # The tallies counted events, and for units that may have changed: a recount that counts less must win.
    repair = ClickHouseRepair(clickhouse, expiring=False)
    repair.raise_epoch("dossiers are counted instead of events")
    for month, _, _ in months:
        _recount(clickhouse, store, repair, month)
        log.info("counted_dossiers_of_a_month", month=month)


def _chunks(old: OldEvents, month: int, registry: AgencyRegistry) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    for batch in old.messages(month):
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= _ROWS:
            yield _as_messages(pa.Table.from_batches(waiting), registry)
            waiting = []
    if waiting:
        yield _as_messages(pa.Table.from_batches(waiting), registry)


def _as_messages(rows: pa.Table, registry: AgencyRegistry) -> pa.Table:
    """Rows of the old table as rows of ``dossier_messages``. The unit of each is decided again (``domain.units``)."""
    units, named = _units(rows, registry)
    columns = {name: rows.column(name) for name in rows.column_names}
    columns["agency"] = units
    for name, dictionary in (("service_level", SERVICE_LEVELS), ("returned_by", RETURN_WAYS)):
        columns[name] = pa.DictionaryArray.from_arrays(pc.index_in(rows.column(name).combine_chunks(), dictionary), dictionary)
    columns["due_at"] = pa.array(np.zeros(rows.num_rows, dtype=np.int64)).cast(EVENT_SCHEMA.field("due_at").type)
    columns["named_by_code"] = named
    return pa.table(columns)


def _units(rows: pa.Table, registry: AgencyRegistry) -> tuple[pa.Array, pa.Array]:
    days = (rows.column("occurred_at").cast(pa.int64()).to_numpy() + 7 * 3_600_000) // _MILLISECONDS_OF_DAY
    prefixes = pc.list_element(pc.split_pattern(rows.column("dossier_code"), "-", max_splits=1), 0)
    keys = pa.table({"agency": rows.column("agency").cast(pa.string()), "prefix": prefixes, "day": pa.array(days)})
    found: dict[tuple[str, str, int], EventUnit] = {}
    units, named = [], []
    for key in zip(*(keys.column(name).to_pylist() for name in ("agency", "prefix", "day")), strict=True):
        unit = found.get(key)
        if unit is None:
            agency, prefix, day = key
            date = dt.date(1970, 1, 1) + dt.timedelta(days=day)
            unit = unit_of_event(registry, agency_code=agency, dossier_code=prefix, day=date) or EventUnit(
                agency, named_by_code=False
            )
            found[key] = unit
        units.append(unit.code)
        named.append(unit.named_by_code)
    return pa.array(units).dictionary_encode(), pa.array(named)


def _recount(clickhouse: ClickHouse, store: ClickHouseStore, repair: ClickHouseRepair, month: int) -> None:
    """Recount all minutes of a month in UTC, and all tiers of the civil days that begin or end in this month."""
    first, end = month_start(month), month_end(month)
    store.recount_minutes(Span(first, end))
    days = [(first + dt.timedelta(days=number)).date() for number in range((end - first).days + 1)]
    store.roll_up_days(Days(tuple(days)))
    store.recount_procedures(Days(tuple(days)))
    refuse_hidden_rows(clickhouse, _READ)  # hidden messages must not make a tally an orphan
    for day in days:
        for tier in (Tier.MINUTE, Tier.DAY, Tier.PROCEDURE):
            repair.clear_orphans(tier, day)
