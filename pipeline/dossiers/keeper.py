"""Keeps the table of dossiers: judges the dossiers that wait, in rounds, in a limited share of the time.

A round judges the dossiers that changed since the round before, then some of those that waited when the worker started (the
*backlog*). When the backlog is done, a round also drops notes of changes that are not needed any more. Then it compares some rows
with the index, in each round the next ones, and notes dossiers that differ as changed: so a wrong or missing row is found and
written again. It also judges a few rows again although nothing differs.

Several workers may write rows at once (``sinks.contract.dossier_table``). So that they share the work without knowing of each
other, waiting dossiers are divided into parts. Each worker takes the parts in its own random order, and reads before each part
which of its dossiers still wait. Every worker goes through every part, so dossiers that another worker did not finish are judged.

The steps are a generator that pauses after every reading and writing, so that a test can let keepers take turns and end one.
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
from sinks.contract.dossier_table import DossierHistories, DossierTable, Noted, WaitingTotal, rows_of

T = TypeVar("T")

#: Dossiers whose messages are in memory at once.
_PIECE: Final = 10_000
#: What waits is divided into about so many parts. A part has a minimum of marks of the table, because a look costs as much as
#: judging 300 dossiers, and a maximum that leaves room in a piece for dossiers that changed since.
_PARTS: Final = 16
_MIN_MARKS: Final = 2
_MAX_MARKS: Final = 8
#: Pieces of the backlog that are judged in one round.
_OF_BACKLOG: Final = 20
#: A worker does not rest after these steps: what it has in hand others judge, too, until it is written.
_IN_HAND: Final = frozenset({"judged", "kept", "forgot"})
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


#: The numbers after the first and up to the second; None: no bound.
_Part = tuple[bytes | None, bytes | None]


@dataclass(slots=True)
class _Backlog:
    """The dossiers that waited when the worker started, and the parts of them that are left."""

    noted: Noted
    found: WaitingTotal
    left: list[_Part]
    parts: int

    @property
    def waiting(self) -> int:
        """About how many dossiers of the backlog are left."""
        return self.found.dossiers * len(self.left) // max(1, self.parts)


@dataclass(slots=True)
class DossierKeeper:
    """Judges waiting dossiers in rounds; ``run`` is the loop of a thread.

    Args:
        table: the table of dossiers, which also tells which dossiers wait.
        histories: reads messages and decisions of dossiers.
        retrying: repeats a call while the storage is unavailable.
        metrics: receives the number of waiting dossiers and of written rows.
        interval: shortest time between the starts of two rounds (seconds).
        duty: a rest lasts at least this many times as long as the work before it.
        flooded: whether messages arrive faster than they can be stored.
        stopping: set when the worker stops.
        monotonic: a monotonic clock (seconds).
        piece: number of dossiers whose messages are read at once.
        sample: number of rows that are judged again in each round although nothing differs.
        backlog: number of pieces of the backlog that are judged in a round.
        choose: returns a random number below its argument, which chooses the sample and the order of parts.
        rest: rests for a number of seconds, or until the worker stops.
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
    backlog: int = _OF_BACKLOG
    choose: Callable[[int], int] = secrets.randbelow
    rest: Callable[[float], object] | None = None
    _fresh_from: dt.datetime | None = None
    _backlog: _Backlog | None = None
    _checked: bytes | None = None
    _worked: float = 0.0

    def run(self) -> None:
        """Run rounds until the worker stops."""
        rest = self.rest or self.stopping.wait
        while not self.stopping.is_set():
            began = self.monotonic()
            for step in self.steps():
                if step not in _IN_HAND:
                    rest(self._rest_due())
                if self.stopping.is_set():
                    return
            rest(max(0.0, self.interval - (self.monotonic() - began)))

    def _rest_due(self) -> float:
        """How many seconds to rest because of the work since the last rest."""
        worked, self._worked = self._worked, 0.0
        return worked * self.duty * (_FLOOD if self.flooded() else 1.0)

    def _call(self, action: Callable[[], T]) -> T:
        """Run ``action`` with retries. Only the successful attempt counts as work, so that an outage leads to no rest."""

        def timed() -> T:
            began = self.monotonic()
            result = action()
            self._worked += self.monotonic() - began
            return result

        return self.retrying(timed)

    def steps(self) -> Generator[str, None, None]:
        """One round, as a generator that names each step after it is done."""
        began = self._call(self.table.now)
        if self._fresh_from is None:
            self._fresh_from = began - _LATE
            noted = Noted(until=self._fresh_from)
            waiting = self._call(lambda: self.table.waiting_total(noted))
            parts = parts_of(waiting)
            self._backlog = _Backlog(noted, waiting, parts, len(parts))
            if waiting.dossiers:
                log.info("dossiers_wait_to_be_judged", dossiers=waiting.dossiers)
            yield "looked at the backlog"
        fresh = Noted(since=self._fresh_from)
        waiting = self._call(lambda: self.table.waiting_total(fresh))
        self._publish(waiting.dossiers, waiting.oldest, began)
        yield "looked"
        yield from self._judge_all(fresh, waiting)
        self._fresh_from = began - _LATE
        if self._backlog is not None:
            yield from self._judge_backlog(self._backlog)
            return
        yield from self._drop_old_changes(began)
        yield from self._compare()

    def _judge_all(self, noted: Noted, found: WaitingTotal) -> Generator[str, None, None]:
        """Judge all dossiers that wait because of the changes in ``noted``."""
        left = parts_of(found)
        while left:
            yield from self._judge_part(noted, left)

    def _judge_backlog(self, backlog: _Backlog) -> Generator[str, None, None]:
        """Judge some parts of the backlog. Parts that other workers judged have no waiting dossiers and cost no work."""
        judged = 0
        while backlog.left and judged < self.backlog * self.piece:
            judged += yield from self._judge_part(backlog.noted, backlog.left)
        if not backlog.left:
            self._backlog = None

    def _judge_part(self, noted: Noted, left: list[_Part]) -> Generator[str, None, int]:
        """Judge the dossiers of a random part that still wait, and remove the part from ``left``; return their number."""
        chosen = self.choose(len(left))
        after, until = left[chosen]
        judged = 0
        while True:
            page = self._call(lambda after=after: self.table.waiting(noted, after=after, until=until))  # type: ignore[misc]
            judged += yield from self._judge(page.dossiers)
            if page.last is None:
                break
            after = page.last
        del left[chosen]
        if not judged:
            yield "passed"
        return judged

    def _judge(self, dossiers: pa.Table) -> Generator[str, None, int]:
        """Judge dossiers piece by piece and write their rows; return the number of dossiers."""
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
        """Drop the changes of past periods in which no dossier waits. In other periods judge those that wait."""
        for period in self._call(lambda: self.table.periods_of_changes(now - _KEPT)):
            waiting = self._call(lambda period=period: self.table.waiting_total(period))  # type: ignore[misc]
            if waiting.dossiers:
                yield from self._judge_all(period, waiting)
            else:
                self._call(lambda period=period: self.table.drop_changes(period))  # type: ignore[misc]
                yield "dropped"

    def _compare(self) -> Generator[str, None, None]:
        """Compare the next rows with the index, judge a few of them again, and note the dossiers that differ as changed."""
        page = self._call(lambda: self.table.compare_with_index(after=self._checked))
        self._checked = page.last
        wrong = self._call(lambda: self._wrong_among(page.agreeing))
        if wrong.num_rows:
            remedy = "These dossiers are judged again. Please report it."
            log.error("rows_of_dossiers_are_wrong", dossiers=wrong.num_rows, remedy=remedy)
            self._call(lambda: self.table.forget(wrong))  # the new rows have the same version
            self._call(lambda: self.table.note(wrong))
        if page.differing.num_rows:
            log.warning("dossiers_are_judged_again", dossiers=page.differing.num_rows, reason="their rows differ from the index")
            self._call(lambda: self.table.note(page.differing))
        yield "compared"

    def _wrong_among(self, dossiers: pa.Table) -> pa.Table:
        """Judge a sample of dossiers again; return those with another result than their row, which saw as many messages."""
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
        """Set the metrics of waiting dossiers, with the backlog; ``oldest``: when the oldest change was noted."""
        if self._backlog is not None:
            waiting += self._backlog.waiting
            before = self._backlog.found.oldest
            oldest = before if oldest is None else min(oldest, before or oldest)
        self.metrics.dossiers_waiting.set(waiting)
        self.metrics.dossiers_waiting_age.set(0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()))


def parts_of(waiting: WaitingTotal) -> list[_Part]:
    """Divide the numbers of dossiers into parts with about equally many waiting ones; empty when no dossier waits."""
    if not waiting.dossiers:
        return []
    each = min(_MAX_MARKS, max(_MIN_MARKS, -(-len(waiting.marks) // _PARTS)))
    ends = waiting.marks[each - 1 :: each]
    return list(zip([None, *ends], [*ends, None], strict=True))
