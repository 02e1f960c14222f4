"""How often and how long each alert would have fired over stored history, for one policy or several."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from dashboards.history.conditions import limits_of
from dashboards.history.verdict import Span
from domain.agencies import Agency
from pipeline.serving.policies import policies_of
from pipeline.settings import ThresholdPolicy


@dataclass(frozen=True, slots=True)
class Row:
    """One alert of one agency over the whole period.

    Attributes:
        alert, agency, kpi, window, rung: the labels of the alert; empty where it has no such label.
        limit: the rate in percent below which the alert starts; None: it has no such limit.
        times: how often the alert fired; a firing at the beginning counts.
        hours, longest: how many hours it fired in all, and in the longest firing.
        firing: whether it fired at the end.
    """

    alert: str
    agency: str
    kpi: str
    window: str
    rung: str
    limit: Fraction | None
    times: int
    hours: float
    longest: float
    firing: bool


def with_threshold(policies: Iterable[ThresholdPolicy], ratio: Fraction) -> list[ThresholdPolicy]:
    """The same policies with one threshold and no rung above it."""
    return [policy.model_copy(update={"ratio": float(ratio), "low_ratio": 0.0, "target": 0.0}) for policy in policies]


def rows_of(
    spans: Sequence[Span], *, agencies: Sequence[Agency], policies: Sequence[ThresholdPolicy], step: dt.timedelta, year: int
) -> list[Row]:
    """What fired, as rows by agency; alerts on the pipeline are omitted, because stored history does not have their data."""
    known = {agency.code: agency for agency in agencies}
    by_key: dict[object, list[Span]] = {}
    for span in spans:
        if span.key.label("agency") in known:
            by_key.setdefault(span.key, []).append(span)
    hour = step / dt.timedelta(hours=1)
    found = []
    for of in by_key.values():
        key = of[0].key
        label = key.label
        lengths, firing = _stretches(sorted(of, key=lambda span: (span.part, -1 if span.first is None else span.first)))
        policy = policies_of(policies, known[label("agency")]).get((label("kpi"), label("window")))
        limits = {} if policy is None else limits_of(policy, known[label("agency")], label("window"), year)
        found.append(
            Row(
                *(key.name, label("agency"), label("kpi"), label("window"), label("rung")),
                limit=limits.get(label("rung")),
                times=len(lengths),
                hours=sum(lengths) * hour,
                longest=max(lengths) * hour,
                firing=firing,
            )
        )
    return sorted(found, key=lambda row: (row.agency, row.alert, row.kpi, row.window, row.limit is None, row.limit or 0))


def _stretches(spans: Sequence[Span]) -> tuple[list[int], bool]:
    """The length of each firing in steps, and whether the alert fires at the end. A firing that crosses parts counts once."""
    lengths = [spans[0].steps]
    for before, span in pairwise(spans):
        if before.end is None and span.first is None and before.part[1] == span.part[0]:
            lengths[-1] += span.steps
        else:
            lengths.append(span.steps)
    return lengths, spans[-1].end is None


def as_dict(row: Row) -> dict[str, object]:
    """A row as JSON values."""
    values = dataclasses.asdict(row)
    values["limit"] = None if row.limit is None else float(row.limit * 100)
    return values
