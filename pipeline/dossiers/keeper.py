"""Keeps the table of dossiers: judges the dossiers that wait, in rounds, in a limited share of the time.

A round judges what changed since the round before it, then a piece of what waited when the worker started. Changes that are not
needed any more are dropped. Then some rows are compared with the index, the next ones in each round, and what differs is noted
again: whatever went wrong is found, and a row that is missing is made. A few rows are judged again although nothing differs.

Rows may be written by several workers at once (``sinks.contract.dossier_table``). The steps are a generator that pauses between
any two effects, so that a test can interleave two keepers and end one anywhere.
"""

from __future__ import annotations

import datetime as dt
import secrets
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, TypeVar

import pyarrow as pa

from pipeline.dossiers.judged_rows import judged_rows
from pipeline.ingest.storage_retry import StorageRetry
from pipeline.logs import get_logger
from pipeline.metrics import WorkerMetrics
from sinks.contract.dossier_table import DossierHistories, DossierTable, Noted, rows_of

T = TypeVar("T")

#: Dossiers whose messages are in memory at once.
_PIECE: Final = 10_000
#: Rows that are judged again in each round although nothing changed.
_SAMPLE: Final = 100
#: A note becomes visible a little after its time, which is that of the start of its insert. One that takes longer than this is
#: found when its period is about to be dropped.
_LATE: Final = dt.timedelta(minutes=2)
#: Changes are kept for this long at least.
_KEPT: Final = dt.timedelta(hours=1)
#: In a flood rests are this many times longer, because storing is more urgent.
_FLOOD: Final = 10.0

log = get_logger("dossiers")


@dataclass(slots=True)
class _Backlog:
    """What waited when the worker started: up to which number it is judged, and what was left then."""

    noted: Noted
    after: bytes | None
    waiting: int
    oldest: dt.datetime | None


@dataclass(slots=True)
class DossierKeeper:
    """Runs the rounds; ``run`` is the loop of a thread.

    Args:
        table: the rows and what waits.
        histories: reads messages and decisions.
        retrying: repeats a call while the storage is unavailable.
        metrics: what waits, and the rows written.
        interval: shortest time between the starts of two rounds (seconds).
        duty: rest at least this many times as long as the work took.
        flooded: whether messages arrive faster than they can be stored.
        stopping: set when the worker stops.
        piece: dossiers whose messages are read at once.
        sample: rows that are judged again in each round.
        choose: chooses which: a number below its argument.
        rest: rests for so many seconds, or until the worker stops.
    """

    table: DossierTable
    histories: DossierHistories
    retrying: StorageRetry
    metrics: WorkerMetrics
    interval: float
    duty: float
    flooded: Callable[[], bool]
    stopping: threading.Event
    monotonic: Callable[[], float] = time.monotonic
    piece: int = _PIECE
    sample: int = _SAMPLE
    choose: Callable[[int], int] = secrets.randbelow
    rest: Callable[[float], object] | None = None
    _fresh_from: dt.datetime | None = None
    _backlog: _Backlog | None = None
    _checked: bytes | None = None
    _worked: float = 0.0

    def run(self) -> None:
        """The loop. Returns when the worker stops."""
        rest = self.rest or self.stopping.wait
        while not self.stopping.is_set():
            began = self.monotonic()
            for _ in self.steps():
                rest(self._rest_due())
                if self.stopping.is_set():
                    return
            rest(max(0.0, self.interval - (self.monotonic() - began)))

    def _rest_due(self) -> float:
        """The rest for the work since the last one (seconds)."""
        worked, self._worked = self._worked, 0.0
        return worked * self.duty * (_FLOOD if self.flooded() else 1.0)

    def _call(self, action: Callable[[], T]) -> T:
        """Run ``action`` with retries. Only the time of the attempt that succeeds is work: an outage needs no rest."""

        def timed() -> T:
            began = self.monotonic()
            result = action()
            self._worked += self.monotonic() - began
            return result

        return self.retrying(timed)

    def steps(self) -> Generator[str, None, None]:
        """One round."""
        began = self._call(self.table.now)
        if self._fresh_from is None:
            self._fresh_from = began - _LATE
            noted = Noted(until=self._fresh_from)
            waiting = self._call(lambda: self.table.waiting_total(noted))
            self._backlog = _Backlog(noted, None, waiting.dossiers, waiting.oldest)
            if waiting.dossiers:
                log.info("dossiers_wait_to_be_judged", dossiers=waiting.dossiers)
            yield "looked at the backlog"
        fresh = Noted(since=self._fresh_from)
        waiting = self._call(lambda: self.table.waiting_total(fresh))
        self._publish(waiting.dossiers, waiting.oldest, began)
        yield "looked"
        if waiting.dossiers:
            yield from self._judge_all(fresh)
        self._fresh_from = began - _LATE
        if self._backlog is not None:
            yield from self._judge_backlog(self._backlog)
            return
        yield from self._drop_old_changes(began)
        yield from self._compare()

    def _judge_all(self, noted: Noted) -> Generator[str, None, int]:
        """Judge everything that waits because of changes of a time; returns the number of dossiers."""
        after: bytes | None = None
        judged = 0
        while True:
            page = self._call(lambda after=after: self.table.waiting(noted, after=after))  # type: ignore[misc]
            judged += yield from self._judge(page.dossiers)
            if page.last is None:
                return judged
            after = page.last

    def _judge_backlog(self, backlog: _Backlog) -> Generator[str, None, None]:
        """Judge the next page of the backlog."""
        page = self._call(lambda: self.table.waiting(backlog.noted, after=backlog.after))
        judged = yield from self._judge(page.dossiers)
        backlog.after, backlog.waiting = page.last, max(0, backlog.waiting - judged)
        if page.last is None:
            self._backlog = None

    def _judge(self, dossiers: pa.Table) -> Generator[str, None, int]:
        """Judge dossiers, piece by piece; returns their number."""
        count: int = dossiers.num_rows
        for start in range(0, count, self.piece):
            piece = dossiers.slice(start, self.piece)
            judged_at = self._call(self.table.now)  # before the messages are read
            found = self._call(lambda piece=piece: judged_rows(self.histories, piece))  # type: ignore[misc]
            yield "judged"
            if expired := [dossier for dossier in piece.column("dossier").to_pylist() if dossier not in found]:
                kept = pa.table({"dossier": pa.array(expired, pa.binary(16))})
                self._call(lambda kept=kept: self.table.keep(kept))  # type: ignore[misc]
                yield "kept"
            known = dict(zip(*(piece.column(name).to_pylist() for name in ("dossier", "seen")), strict=True))
            if fewer := [dossier for dossier, row in found.items() if row.seen < known[dossier]]:
                # The index lost messages since; their row would win.
                lost = pa.table({"dossier": pa.array(fewer, pa.binary(16))})
                self._call(lambda lost=lost: self.table.forget(lost))  # type: ignore[misc]
                yield "forgot"
            self._call(lambda found=found, at=judged_at: self.table.write(rows_of(found, judged_at=at)))  # type: ignore[misc]
            self.metrics.dossier_rows.inc(len(found))
            yield "written"
        return count

    def _drop_old_changes(self, now: dt.datetime) -> Generator[str, None, None]:
        """Drop the changes of periods in which nothing waits; what does is judged and dropped in a later round."""
        for period in self._call(lambda: self.table.periods_of_changes(now - _KEPT)):
            if (yield from self._judge_all(period)) == 0:
                self._call(lambda period=period: self.table.drop_changes(period))  # type: ignore[misc]
                yield "dropped"

    def _compare(self) -> Generator[str, None, None]:
        """Compare the next rows with the index, judge a few of them again, and note the dossiers that differ."""
        page = self._call(lambda: self.table.compare_with_index(after=self._checked))
        self._checked = page.last
        wrong = self._call(lambda: self._wrong_among(page.agreeing))
        if wrong.num_rows:
            log.error("rows_of_dossiers_are_wrong", dossiers=wrong.num_rows, remedy="They are judged again. Report it.")
            self._call(lambda: self.table.forget(wrong))  # the new rows have the same version
            self._call(lambda: self.table.note(wrong))
        if page.differing.num_rows:
            log.warning("dossiers_are_judged_again", dossiers=page.differing.num_rows, reason="their rows differ from the index")
            self._call(lambda: self.table.note(page.differing))
        yield "compared"

    def _wrong_among(self, dossiers: pa.Table) -> pa.Table:
        """Those of a few neighbours whose row is not what their messages give, although it knows as many."""
        chosen = dossiers.slice(self.choose(max(1, dossiers.num_rows - self.sample + 1)), self.sample)
        if not chosen.num_rows:
            return chosen
        numbers = chosen.column("dossier")
        rows = self.table.rows(numbers[0].as_py(), numbers[-1].as_py())
        unnamed = chosen.append_column("dossier_code", pa.array([""] * chosen.num_rows))
        judged = rows_of(judged_rows(self.histories, unnamed), judged_at=self.table.now())
        stored = {row["dossier"]: row for row in rows.drop_columns(["judged_at"]).to_pylist()}
        wrong = [
            row["dossier"]
            for row in judged.drop_columns(["judged_at"]).to_pylist()
            if row["dossier"] in stored and row["seen"] == stored[row["dossier"]]["seen"] and row != stored[row["dossier"]]
        ]
        return pa.table({"dossier": pa.array(wrong, pa.binary(16))})

    def _publish(self, waiting: int, oldest: dt.datetime | None, now: dt.datetime) -> None:
        """Publish what waits, the backlog included."""
        if self._backlog is not None:
            waiting += self._backlog.waiting
            oldest = self._backlog.oldest if oldest is None else min(oldest, self._backlog.oldest or oldest)
        self.metrics.dossiers_waiting.set(waiting)
        self.metrics.dossiers_waiting_age.set(0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
