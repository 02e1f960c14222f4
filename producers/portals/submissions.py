"""The dossiers submitted to one simulated agency: when, for which service, by which channel, so that I4 and I5 come out exactly.

Beside the dossiers that count there are dossiers that must not count: submitted online for services that are closed, unknown or
for information only, in person for services without an online dossier, and online on the day before and after a period.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np

from domain.events import Channel
from domain.periods import Period
from producers.portals.documents import SubUnit
from producers.portals.dossier_plan import FULL
from producers.portals.schedule import DAY_MS, bounds, working_instants
from producers.portals.service_stock import ServiceStock

#: Exponent of Zipf's law for the dossiers of services.
_ZIPF: Final = 1.1
#: Dossiers of a service with online dossiers: a geometric number with this parameter.
_SINGLE: Final = 0.6
_ONLINE: Final = 0.7
#: Of the services without an online dossier, those with one in person; of those for information, those with one online.
_IN_PERSON: Final = 0.15
_WRONGLY_ONLINE: Final = 0.02
_POST: Final = 0.1
_UNKNOWN: Final = 0.005
#: Services with an online dossier on the day before or after a period only.
_OUTSIDE: Final = 3


@dataclass(frozen=True, slots=True)
class Submissions:
    """Submitted dossiers; arrays have one element for each dossier.

    Attributes:
        at: the instant of submission, epoch milliseconds.
        service: index into the procedures of the stock.
        channel: 1 to 3.
        receiving: index of the receiving unit; 0 where the agency has one only.
    """

    at: np.ndarray
    service: np.ndarray
    channel: np.ndarray
    receiving: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several tables of submissions joined into one."""
        return cls(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)})


def submissions_of_services(
    rng: np.random.Generator, stock: ServiceStock, periods: Sequence[Period], with_dossiers: Sequence[int]
) -> Submissions:
    """Dossiers so that exactly ``with_dossiers[k]`` services online at the end of the k-th period have an online dossier."""
    popularity = _popularity(rng, len(stock.procedures))
    parts = []
    for number, (period, goal) in enumerate(zip(periods, with_dossiers, strict=True)):
        present = stock.online[number]
        chosen = present[np.argsort(-(popularity[present] + rng.gumbel(size=len(present))), kind="stable")[:goal]]
        others = np.setdiff1d(present, chosen)
        dossiers = rng.geometric(_SINGLE, size=goal)
        service = np.repeat(chosen, dossiers)
        first = np.r_[0, np.cumsum(dossiers)[:-1]][:goal]
        online = rng.random(len(service)) < _ONLINE
        online[first] = True
        at = working_instants(rng, period, len(service))
        at = at[rng.permutation(len(at))]
        # The only dossiers of two services lie on the very bounds of the period.
        for single, instant in zip(first[dossiers == 1][:2], _extremes(period), strict=False):
            at[single] = instant
        parts.append(_part(at, service, np.where(online, Channel.ONLINE, _offline(rng, len(service)))))
        elsewhere = rng.permutation(others)[: round(len(others) * _IN_PERSON)]
        parts.append(_somewhen(rng, period, elsewhere, _offline(rng, len(elsewhere))))
        wrong = rng.permutation(stock.information)[: round(len(stock.information) * _WRONGLY_ONLINE)]
        gone = np.setdiff1d(stock.closed, present)
        never = np.concatenate([wrong, gone, stock.unknown])
        parts.append(_somewhen(rng, period, never, np.full(len(never), Channel.ONLINE)))
        parts.append(_outside(rng, period, periods, others))
    return Submissions.joined(parts)


def submissions_of_units(
    rng: np.random.Generator, stock: ServiceStock, period: Period, with_dossiers: int, units: Sequence[SubUnit]
) -> Submissions:
    """Dossiers of one period: for each receiving unit, channel and level as many as the document states.

    Exactly ``with_dossiers`` of the services that are online at the end of the period have an online dossier.
    """
    popularity = _popularity(rng, len(stock.procedures))
    present = stock.online[0]
    full = stock.levels[present] == FULL
    by_level = (present[~full], present[full])
    wanted_4 = min(round(with_dossiers * full.mean()), sum(unit.online_l4 for unit in units))
    chosen, parts = [], []
    for services, wanted, totals in (
        (by_level[0], with_dossiers - wanted_4, [unit.online_l3 for unit in units]),
        (by_level[1], wanted_4, [unit.online_l4 for unit in units]),
    ):
        offered = rng.permutation(services)[:wanted]
        chosen.append(offered)
        drawn = rng.choice(offered, size=sum(totals) - wanted, p=_shares(popularity[offered]))
        service = np.concatenate([offered, drawn])
        at = working_instants(rng, period, len(service))
        at = at[rng.permutation(len(at))]
        at[:2] = _extremes(period)
        receiving = rng.permutation(np.repeat(np.arange(len(units)), totals))
        parts.append(_part(at, service, np.full(len(service), Channel.ONLINE), receiving))
    known = np.setdiff1d(np.arange(len(stock.procedures)), stock.unknown)
    others = [unit.other for unit in units]
    service = rng.choice(known, size=sum(others), p=_shares(popularity[known]))
    strange = rng.random(len(service)) < _UNKNOWN
    service[strange] = rng.choice(stock.unknown, size=int(strange.sum()))
    at = working_instants(rng, period, len(service))
    receiving = rng.permutation(np.repeat(np.arange(len(units)), others))
    parts.append(_part(at, service, _offline(rng, len(service)), receiving))
    parts.append(_outside(rng, period, [period], np.setdiff1d(present, np.concatenate(chosen))))
    return Submissions.joined(parts)


def _popularity(rng: np.random.Generator, count: int) -> np.ndarray:
    """The logarithm of how often each service is asked for, by Zipf's law."""
    found: np.ndarray = -_ZIPF * np.log(rng.permutation(count) + 1.0)
    return found


def _shares(popularity: np.ndarray) -> np.ndarray:
    weights = np.exp(popularity)
    found: np.ndarray = weights / weights.sum()
    return found


def _offline(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.where(rng.random(count) < _POST, Channel.POST, Channel.IN_PERSON)


def _extremes(period: Period) -> tuple[int, int]:
    """The first and the last millisecond of a period."""
    first, end = bounds(period)
    return first, end - 1


def _part(at: np.ndarray, service: np.ndarray, channel: np.ndarray, receiving: np.ndarray | None = None) -> Submissions:
    found = np.zeros(len(at), dtype=np.int16) if receiving is None else receiving.astype(np.int16)
    return Submissions(at.astype(np.int64), service.astype(np.int64), channel.astype(np.int8), found)


def _somewhen(rng: np.random.Generator, period: Period, services: np.ndarray, channel: np.ndarray) -> Submissions:
    return _part(working_instants(rng, period, len(services)), services, channel)


def _outside(rng: np.random.Generator, period: Period, periods: Iterable[Period], services: np.ndarray) -> Submissions:
    """Online dossiers on the days next to a period, unless these days lie in another one; the nearest is a millisecond away."""
    taken = list(periods)
    first, end = bounds(period)
    parts = []
    for day, nearest, start in (
        (period.start - dt.timedelta(days=1), first - 1, first - DAY_MS),
        (period.end + dt.timedelta(days=1), end, end),
    ):
        if any(each.start <= day <= each.end for each in taken):
            continue
        found = rng.permutation(services)[:_OUTSIDE]
        at = start + rng.integers(0, DAY_MS // 2, size=len(found))
        at[:1] = nearest
        parts.append(_part(at, found, np.full(len(found), Channel.ONLINE)))
    return Submissions.joined(parts) if parts else _part(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
