"""The table of dossiers, and the notes of which dossiers changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from domain.dossier_milestones import NEXT_GENERATION, version_of
from sinks.clickhouse.arrow import arrow_stream
from sinks.clickhouse.client import ClickHouse, ExternalTable
from sinks.clickhouse.dossier_statements import WRITE, delete_dossiers, listed, literal
from sinks.clickhouse.row_policies import refuse_hidden_rows
from sinks.clickhouse.times import aware, to_milliseconds, to_seconds
from sinks.contract.dossier_table import ROW_SCHEMA, CheckedPage, Noted, WaitingPage, WaitingTotal
from sinks.contract.expiry import FOR_EVER, TOMBSTONE_FACT
from sinks.tables import DOSSIER_CHANGES, DOSSIER_INDEX, DOSSIERS

#: Changed dossiers whose rows are looked up at once, and dossiers of the index that are compared at once. Both tables are in the
#: order of dossiers, so a page is read without the rest.
PAGE: Final = 200_000
COMPARED: Final = 20_000
#: Of the dossiers that wait every so many is a mark.
MARKED: Final = 1_000
_IN_ORDER: Final[dict[str, Any]] = {"optimize_aggregation_in_order": 1, "optimize_read_in_order": 1, "max_block_size": 65_536}
_DOSSIERS: Final = "some_dossiers"
_DOSSIERS_STRUCTURE: Final = "dossier UInt128"
_LISTED_ONES: Final = f"dossier IN (SELECT dossier FROM {_DOSSIERS})"  # noqa: S608 - the name is a constant
_TIME: Final = "DateTime64(3, 'UTC')"
_FOR_EVER: Final = f"toDateTime64('{to_milliseconds(FOR_EVER)}', 3, 'UTC')"
#: Changes are kept and dropped in periods of this length, the partitions of the table.
_PERIOD: Final = dt.timedelta(minutes=10)


class ClickHouseDossierTable:
    """Implements ``DossierTable`` with one ClickHouse. Several threads may use an object at once.

    Args:
        clickhouse: the storage.
        page: changed dossiers that are looked up at once.
        compared: dossiers of the index that are compared at once.
        marked: dossiers that wait from one mark to the next.
        shard: the number of this shard (from 0); the marks of each shard are at other places.
        shards: the number of shards.
    """

    def __init__(
        self,
        clickhouse: ClickHouse,
        *,
        page: int = PAGE,
        compared: int = COMPARED,
        marked: int = MARKED,
        shard: int = 0,
        shards: int = 1,
    ) -> None:
        self._clickhouse, self._page, self._compared, self._marked = clickhouse, page, compared, marked
        self._first_mark = marked - 1 - marked * shard // shards

    def now(self) -> dt.datetime:
        """The time of the server's clock."""
        return aware(self._clickhouse.rows("server_time", "SELECT now64(3, 'UTC')")[0][0])

    def write(self, rows: pa.Table) -> None:
        """Store rows; see ``DossierTable.write``."""
        self._clickhouse.insert("write_dossiers", DOSSIERS, rows.column_names, arrow_stream(rows), "ArrowStream", **WRITE)

    def rows(self, first: bytes, last: bytes) -> pa.Table:
        """The rows of dossiers; see ``DossierTable.rows``."""
        names = ", ".join("toString(state) AS state" if name == "state" else name for name in ROW_SCHEMA.names)
        found = self._clickhouse.table(
            "compare_dossiers",
            f"SELECT {names} FROM {DOSSIERS} FINAL "  # noqa: S608 - names are constants
            f"WHERE dossier >= {literal(first)} AND dossier <= {literal(last)} ORDER BY dossier",
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIERS,))
        return found

    def note(self, dossiers: pa.Table) -> None:
        """Note a change of dossiers; see ``DossierTable.note``."""
        body = arrow_stream(dossiers.select(["dossier"]))
        self._clickhouse.insert("note_dossiers", DOSSIER_CHANGES, ["dossier"], body, "ArrowStream", **WRITE)

    def forget(self, dossiers: pa.Table) -> None:
        """Delete the rows of dossiers; see ``DossierTable.forget``."""
        delete_dossiers(self._clickhouse, "forget_dossiers", (DOSSIERS,), dossiers.column("dossier").to_pylist())

    def keep(self, dossiers: pa.Table) -> None:
        """Keep the rows of dossiers as they are; see ``DossierTable.keep``."""
        for some in listed(dossiers.column("dossier").to_pylist()):
            self._clickhouse.command("keep_dossiers", keep_sql(f"dossier IN ({some})"), None, **WRITE)
        refuse_hidden_rows(self._clickhouse, (DOSSIERS,))

    def waiting(self, noted: Noted, *, after: bytes | None = None, until: bytes | None = None) -> WaitingPage:
        """The first dossiers that wait; see ``DossierTable.waiting``."""
        changed = self._clickhouse.table(
            "changed_dossiers",
            "SELECT dossier, max(dossier_code) AS dossier_code, min(noted_at) AS first, max(noted_at) AS last "  # noqa: S608
            f"FROM {DOSSIER_CHANGES} WHERE {_within(noted)} AND {_beyond(after)} AND {_up_to(until)} "
            f"GROUP BY dossier ORDER BY dossier LIMIT {self._page}",
            **_IN_ORDER,
        )
        last = changed.column("dossier")[-1].as_py() if changed.num_rows == self._page else None
        if changed.num_rows:
            changed = self._clickhouse.table(
                "waiting_dossiers",
                "SELECT dossier, dossier_code, if(judged <= first, first, last) AS oldest, seen "  # noqa: S608
                f"FROM {_DOSSIERS} AS changed LEFT JOIN (SELECT dossier, max(judged_at) AS judged, argMax(seen, version) AS seen "
                f"FROM {DOSSIERS} PREWHERE dossier IN (SELECT dossier FROM {_DOSSIERS}) GROUP BY dossier) AS known USING dossier "
                "WHERE last >= judged ORDER BY dossier",  # without a row, it was judged in 1970
                ExternalTable(_DOSSIERS, f"{_DOSSIERS_STRUCTURE}, dossier_code String, first {_TIME}, last {_TIME}", changed),
            )
        refuse_hidden_rows(self._clickhouse, (DOSSIERS, DOSSIER_CHANGES))
        return WaitingPage(changed, last)

    def waiting_total(self, noted: Noted) -> WaitingTotal:
        """All dossiers that wait; see ``DossierTable.waiting_total``."""
        found, oldest, marks = 0, None, list[bytes]()
        for page in self._pages(noted):
            marks += page.column("dossier")[(self._first_mark - found) % self._marked :: self._marked].to_pylist()
            found += page.num_rows
            first = pc.min(page.column("oldest")).as_py() if page.num_rows else None
            oldest = first if oldest is None else min(oldest, first or oldest)
        return WaitingTotal(found, oldest, marks)

    def waiting_since(self, asked_at: dt.datetime) -> int:
        """How many dossiers wait; see ``DossierTable.waiting_since``."""
        return self.waiting_total(Noted(until=asked_at)).dossiers

    def periods_of_changes(self, before: dt.datetime) -> Sequence[Noted]:
        """The periods of changes that are over; see ``DossierTable.periods_of_changes``."""
        rows = self._clickhouse.rows(
            "periods_of_changes",
            f"SELECT DISTINCT toStartOfTenMinutes(noted_at, 'UTC') AS start FROM {DOSSIER_CHANGES} "  # noqa: S608
            f"WHERE noted_at < {_instant(before)} ORDER BY start",
        )
        refuse_hidden_rows(self._clickhouse, (DOSSIER_CHANGES,))
        starts = [aware(start) for (start,) in rows]
        return [_period(start) for start in starts if start + _PERIOD <= before]

    def drop_changes(self, period: Noted) -> None:
        """Delete the changes of a period; see ``DossierTable.drop_changes``."""
        assert period.since is not None
        self._clickhouse.command("drop_changes", f"ALTER TABLE {DOSSIER_CHANGES} DROP PARTITION '{to_seconds(period.since)}'")

    def compare_with_index(self, *, after: bytes | None = None) -> CheckedPage:
        """Compare rows with the index; see ``DossierTable.compare_with_index``.

        Rows are read between two reads of the index: a row that knows less than the first read, or more than the second, differs.
        A dossier with a stored change does not differ: it will be judged because of the change. Dossiers whose messages expired
        are not compared.
        """
        indexed = self._seen_of_index(f"{_beyond(after)} ", f"ORDER BY dossier LIMIT {self._compared}")
        last = indexed.column("dossier")[-1].as_py() if indexed.num_rows == self._compared else None
        rows = self._clickhouse.table(
            "compare_dossiers",
            "SELECT dossier, argMax(seen, version) AS seen, max(version) AS newest "  # noqa: S608 - names are constants
            f"FROM {DOSSIERS} WHERE {_beyond(after)} AND {_up_to(last)} GROUP BY dossier HAVING max(judged_at) < {_FOR_EVER}",
        )
        known = {row["dossier"]: row for row in rows.to_pylist()}
        counted = dict(zip(*(indexed.column(name).to_pylist() for name in ("dossier", "seen")), strict=True))
        wrong = {
            dossier for dossier, seen in counted.items() if dossier not in known or known[dossier]["newest"] < version_of(seen)
        }
        more = [
            dossier for dossier, row in known.items() if row["newest"] < NEXT_GENERATION and row["seen"] > counted.get(dossier, 0)
        ]
        if more:
            some = pa.table({"dossier": pa.array(more, pa.binary(16))})
            later = self._seen_of_index(_LISTED_ONES, "", some)
            counted |= dict(zip(*(later.column(name).to_pylist() for name in ("dossier", "seen")), strict=True))
            wrong |= {dossier for dossier in more if known[dossier]["seen"] > counted.get(dossier, 0)}
        differing = pa.table({"dossier": pa.array(sorted(wrong), pa.binary(16))})
        if wrong:
            differing = self._clickhouse.table(
                "compare_dossiers",
                f"SELECT dossier FROM {_DOSSIERS} "  # noqa: S608
                f"WHERE dossier NOT IN (SELECT dossier FROM {DOSSIER_CHANGES} WHERE {_LISTED_ONES})",
                ExternalTable(_DOSSIERS, _DOSSIERS_STRUCTURE, differing),
            )
        refuse_hidden_rows(self._clickhouse, (DOSSIERS, DOSSIER_CHANGES, DOSSIER_INDEX))
        agreeing = sorted(counted.keys() & known.keys() - wrong, key=lambda dossier: int.from_bytes(dossier, "little"))
        return CheckedPage(pa.table({"dossier": pa.array(agreeing, pa.binary(16))}), differing, last)

    def _seen_of_index(self, condition: str, order: str, some: pa.Table | None = None) -> pa.Table:
        """``dossier`` and how many distinct messages and decisions of it are indexed; dossiers with a tombstone are omitted."""
        return self._clickhouse.table(
            "compare_dossiers",
            "SELECT dossier, uniqExact(occurred_at, event_id, agency, procedure_code, due_at, facts) AS seen "  # noqa: S608
            f"FROM {DOSSIER_INDEX} WHERE claim = 0 AND {condition} GROUP BY dossier "
            f"HAVING NOT bitTest(groupBitOr(facts), {TOMBSTONE_FACT.bit_length() - 1}) {order}",
            None if some is None else ExternalTable(_DOSSIERS, _DOSSIERS_STRUCTURE, some),
            **_IN_ORDER,
        )

    def _pages(self, noted: Noted) -> Iterator[pa.Table]:
        after: bytes | None = None
        while True:
            page = self.waiting(noted, after=after)
            yield page.dossiers
            if page.last is None:
                return
            after = page.last


def keep_sql(where: str) -> str:
    """The statement that writes rows of dossiers again as judged later than any change, so that these dossiers never wait."""
    kept = f"SELECT * FROM {DOSSIERS} FINAL WHERE {where} AND judged_at < {_FOR_EVER}"  # noqa: S608 - names are constants
    return f"INSERT INTO {DOSSIERS} SELECT * REPLACE ({_FOR_EVER} AS judged_at) FROM ({kept})"  # noqa: S608


def _period(start: dt.datetime) -> Noted:
    return Noted(start, start + _PERIOD - dt.timedelta(milliseconds=1))


def _instant(instant: dt.datetime) -> str:
    return f"toDateTime64('{to_milliseconds(instant)}', 3, 'UTC')"


def _within(noted: Noted) -> str:
    bounds = [
        f"noted_at {sign} {_instant(instant)}"
        for sign, instant in ((">=", noted.since), ("<=", noted.until))
        if instant is not None
    ]
    return " AND ".join(bounds) or "true"


def _beyond(after: bytes | None) -> str:
    return "true" if after is None else f"dossier > {literal(after)}"


def _up_to(last: bytes | None) -> str:
    return "true" if last is None else f"dossier <= {literal(last)}"
