"""How long it takes from sending an event until the tallies count it, measured by counting alone.

The events carry no mark for this. Two curves are compared: how many of the acknowledged events were sent by each moment, and how
many more the running process has counted since the start. A worker's own progress counts repeats as well; the status of
the storage counts distinct events, so with the status repeats are omitted from both curves. The k-th event is visible when the
second curve reaches k; its latency is the horizontal distance of the curves at k.

This is exact when events become visible in the order of sending. Events overtake each other between partitions and within
one recount; that swaps latencies among them, so the mean is right and the quantiles are those of the queue as a whole.
A reading is late by up to one poll (20 ms). Other traffic at the same time makes the result wrong.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from domain.errors import UnavailableError
from producers.measuring.service import Counted, Service

POLL_SECONDS: Final = 0.02
#: Poll interval for a process that counts by scanning (seconds).
_COSTLY_POLL_SECONDS: Final = 0.25
#: Points of a curve: more than 40 minutes of polls are kept one by one.
_MAX_POINTS: Final = 1 << 17
#: The wait ends when nothing became visible for this long (seconds).
_STALL_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from send to visible: quantiles over ``events`` events; ``unseen`` were not visible by the end."""

    events: int
    unseen: int
    p50: float
    p95: float
    p99: float
    maximum: float

    def as_dict(self) -> dict[str, Any]:
        """The latencies as JSON values for the report, in seconds."""
        quantiles = {"p50": self.p50, "p95": self.p95, "p99": self.p99, "max": self.maximum}
        # JSON has no NaN: nothing was seen.
        figures = {name: round(value, 4) if value == value else None for name, value in quantiles.items()}  # noqa: PLR0124
        return {"events": self.events, "unseen": self.unseen, **figures}


class Curve:
    """A count that never falls, as (seconds, count) points in bounded memory.

    Args:
        points: the first ones.
        max_points: points kept. When there are more, those nearest to each other in time are dropped; between two points the
            count is taken to grow linearly.
    """

    def __init__(self, points: Iterable[tuple[float, int]] = (), *, max_points: int = _MAX_POINTS) -> None:
        self._max_points, self._spacing = max(max_points, 4), 0.0
        self._moments, self._counts = array("d"), array("q")
        for moment, count in points:
            self._append(moment, count)

    @classmethod
    def of_sends(cls, sends: Iterable[tuple[float, int]]) -> Curve:
        """The curve of steps (moment, increment), which may be given in any order."""
        curve, total = cls(), 0
        for moment, more in sorted(sends):
            if more:
                total += more
                curve._append(moment, total)
        return curve

    def add(self, moment: float, count: int) -> None:
        """Add a reading; drop a count below the last one, which a restarted process gives."""
        if self._counts and count < self._counts[-1]:
            return
        moments, counts = self._moments, self._counts
        level = len(counts) > 1 and counts[-1] == counts[-2] == count  # only the ends of a constant section matter
        if level or (len(moments) > 1 and moment - moments[-2] < self._spacing):
            moments[-1], counts[-1] = moment, count
            return
        self._append(moment, count)
        if len(moments) > self._max_points:
            self._thin()

    @property
    def total(self) -> int:
        """The last count of the curve."""
        return self._counts[-1] if self._counts else 0

    def __len__(self) -> int:
        return len(self._counts)

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """The moments and the counts of the curve, as two arrays."""
        return np.array(self._moments, dtype=np.float64), np.array(self._counts, dtype=np.float64)

    def _append(self, moment: float, count: int) -> None:
        self._moments.append(moment)
        self._counts.append(count)

    def _thin(self) -> None:
        """Keep at most half of the points; the first and the last stay."""
        moments, counts = self._moments, self._counts
        self._spacing = max(2 * self._spacing, 2 * (moments[-1] - moments[0]) / self._max_points)
        self._moments, self._counts = array("d", moments[:1]), array("q", counts[:1])
        for moment, count in zip(moments[1:-1], counts[1:-1], strict=True):
            if moment - self._moments[-1] >= self._spacing:
                self._append(moment, count)
        self._append(moments[-1], counts[-1])


def latency(sent: Curve, visible: Curve, *, since: float = float("-inf"), until: float = float("inf")) -> Latency | None:
    """The latency of the events sent from ``since`` up to, not including, ``until``; None when there are none.

    All events of a batch count as sent when it was handed over. Between two polls the visible count is taken to grow linearly.
    """
    moments, counts = sent.counts()
    if not len(moments):
        return None
    before = np.concatenate([[0.0], counts[:-1]])
    chosen = (moments >= since) & (moments < until)
    if not chosen.any():
        return None
    seen_at, seen = visible.counts()
    weights = (counts - before)[chosen]
    # At most 64 ranks represent a batch: quantiles of millions of events from thousands of points.
    steps = np.minimum(weights, 64).astype(np.int64)
    batch = np.repeat(np.flatnonzero(chosen), steps)
    place = np.concatenate([(np.arange(step) + 1) / step for step in steps.tolist()])
    rank = before[batch] + place * (counts - before)[batch]
    weight = np.repeat(weights / steps, steps)
    known = rank <= (seen[-1] if len(seen) else 0)
    unseen = round(float(weight[~known].sum()))
    if not known.any():
        return Latency(0, unseen, *(float("nan"),) * 4)
    waits = np.maximum(_first_at(seen_at, seen, rank[known]) - moments[batch[known]], 0.0)
    p50, p95, p99 = _quantiles(waits, weight[known], (0.50, 0.95, 0.99))
    return Latency(round(float(weight[known].sum())), unseen, p50, p95, p99, float(waits.max()))


def _first_at(moments: np.ndarray, counts: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The moments at which the curve first reached each rank, interpolated between readings."""
    after = np.searchsorted(counts, ranks, side="left")
    earlier = np.maximum(after - 1, 0)
    rise = counts[after] - counts[earlier]
    part = np.where(rise > 0, (ranks - counts[earlier]) / np.where(rise > 0, rise, 1), 1.0)
    reached: np.ndarray = moments[earlier] + part * (moments[after] - moments[earlier])
    return reached


def _quantiles(values: np.ndarray, weights: np.ndarray, wanted: Sequence[float]) -> list[float]:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    indexes = np.searchsorted(cumulated, np.array(wanted) * cumulated[-1] - 1e-9, side="left")
    return [float(values[order[min(place, len(order) - 1)]]) for place in indexes.tolist()]


class Watch:
    """Polls a running process in a thread of its own; a context manager.

    Attributes:
        visible: curve of the events that became visible since the start.
        exact: curve of those of them whose dossiers are resolved; None when the process does not tell.
        problem: why the last failed poll failed.
    """

    def __init__(
        self,
        service: Service,
        *,
        poll: float = POLL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        stall_seconds: float = _STALL_SECONDS,
    ) -> None:
        self._service, self._poll, self._monotonic, self._stall_seconds = service, poll, monotonic, stall_seconds
        self._stop = threading.Event()
        self._grown = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="visibility", daemon=True)
        self.visible = Curve()
        self.exact: Curve | None = None
        self.problem = ""
        self._baseline = Counted(0, None)
        self._letters_before: int | None = None
        self._asking = threading.Lock()  # a service is not thread-safe

    def __enter__(self) -> Self:
        self._baseline = self._service.counted()
        self._letters_before = self._service.dead_letters()
        if not self._service.cheap:
            self._poll = max(self._poll, _COSTLY_POLL_SECONDS)
        now = self._monotonic()
        self.visible.add(now, 0)
        if self._baseline.exact is not None:
            self.exact = Curve([(now, 0)])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._service.close()

    @property
    def method(self) -> str:
        """How the latency was measured, and the largest error of the method."""
        how = "polling /api/v1/progress" if self._service.cheap else "polling /api/v1/status, which may itself lag"
        return f"{how} every {self._poll * 1000:.0f} ms; by counts, k-th sent against k-th visible; late by up to one poll"

    @property
    def counts_repeats(self) -> bool:
        """Whether an event that was sent twice becomes visible twice."""
        return self._service.cheap

    def dead_letters(self) -> int | None:
        """Messages that became dead letters since the start; None when the process does not tell."""
        before = self._letters_before
        with self._asking:
            after = None if before is None else self._service.dead_letters()
        return None if before is None or after is None else max(after - before, 0)

    def wait_for(self, count: int) -> bool:
        """Wait until ``count`` events are visible and exact (returns True), or until no more events become so (returns False)."""
        curve = self.visible if self.exact is None else self.exact
        with self._grown:
            last, since = curve.total, self._monotonic()
            while curve.total < count:
                self._grown.wait(self._poll)
                if curve.total > last:
                    last, since = curve.total, self._monotonic()
                elif self._monotonic() - since > self._stall_seconds:
                    return False
        return True

    def _run(self) -> None:
        due = self._monotonic()
        while not self._stop.is_set():
            try:
                asked = self._monotonic()
                with self._asking:
                    count = self._service.counted()
                answered = self._monotonic()
            except UnavailableError as error:
                self.problem = str(error)
                self._stop.wait(_COSTLY_POLL_SECONDS)
                continue
            with self._grown:
                moment = (asked + answered) / 2
                self.visible.add(moment, count.visible - self._baseline.visible)
                if self.exact is not None and count.exact is not None and self._baseline.exact is not None:
                    self.exact.add(moment, count.exact - self._baseline.exact)
                self._grown.notify_all()
            due = max(due + self._poll, answered)
            self._stop.wait(max(0.0, due - self._monotonic()))
