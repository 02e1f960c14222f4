"""A scenario as a stream of messages in a realistic order of arrival.

Most events arrive seconds after they happened; some portals send what they gathered every few hours; a few events are
delivered twice. The bytes depend on scenario, seed and scale only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.periods import VIETNAM_OFFSET_MINUTES
from producers.messages import Kind, Message
from producers.portals import event_encoding as encoding
from producers.portals.catalogue import rng_of
from producers.portals.event_ids import EventIds
from producers.portals.portal import LEVELS, RETURNS, Portal, build_portal
from producers.portals.scenarios import Scenario, Share
from producers.portals.schedule import date_of, local_day

#: Share of portals that synchronise in bursts, and how many hours apart.
_BURST_PORTALS: Final = 0.12
_BURST_HOURS: Final = (2, 4, 6)
#: Delay of the other portals: median, spread (log-normal), longest (ms).
_DELAY_MEDIAN_MS: Final = 4_000
_DELAY_SIGMA: Final = 1.3
_MAX_DELAY_MS: Final = 30 * 60_000
#: Share of events that are delivered a second time, and how much later at most (ms).
_REPEATS: Final = 0.003
_MAX_REPEAT_MS: Final = 6 * 3_600_000

#: Rows that are turned into bytes at once: enough to be fast, few enough to need little memory.
_CHUNK: Final = 4_096
_SETTLED: Final = 9
_LEGACY: Final = {"toan_trinh": 4, "mot_phan": 3, "cung_cap_thong_tin": 2}


@dataclass(frozen=True, slots=True)
class _Columns:
    """All dossiers of all portals; indices point into the text tables of ``_Texts``."""

    head: np.ndarray
    day: np.ndarray
    sequence: np.ndarray
    origin: np.ndarray
    attributes: np.ndarray
    extras: np.ndarray  # of steps before the result is returned
    returned: np.ndarray  # to be added from status 9 on
    long_code: np.ndarray


@dataclass(frozen=True, slots=True)
class _Texts:
    heads: list[str]
    origins: list[str]
    attributes: list[str]
    extras: list[str]


class ScenarioStream:
    """The messages of one scenario; iterate as often as needed, the bytes are the same every time.

    Attributes:
        total: messages, repeats included.
        expected: what counting I1 over the scenario's period must give for each agency code.
    """

    def __init__(self, scenario: Scenario, *, seed: int, scale: int = 1) -> None:
        # Volumes differ in content, so they must not share event ids.
        self._stream = scenario.name if scale == 1 else f"{scenario.name} x{scale}"
        portals = [build_portal(unit, scenario.period, seed=seed, scale=scale) for unit in scenario.units]
        self._ids = EventIds(seed, self._stream)
        self._columns, self._texts = _tables(portals)
        offsets = np.cumsum([0, *(len(portal.submitted) for portal in portals)])
        dossier = np.concatenate([p.dossier + offset for p, offset in zip(portals, offsets[:-1], strict=True)])
        at = np.concatenate([portal.at for portal in portals])
        arrival = np.concatenate([_arrivals(portal, seed) for portal in portals])
        rng = rng_of(seed, "repeats", self._stream)
        again = np.flatnonzero(rng.random(len(at)) < _REPEATS)
        repeated_at = arrival[again] + rng.integers(1_000, _MAX_REPEAT_MS, size=len(again))
        order = np.argsort(np.concatenate([arrival, repeated_at]), kind="stable")
        row = np.concatenate([np.arange(len(at), dtype=np.int32), again.astype(np.int32)])[order]
        self._repeat = order >= len(at)
        self._dossier = dossier.astype(np.int32)[row]
        self._ordinal = np.concatenate([portal.ordinal for portal in portals])[row]
        self._status = np.concatenate([portal.status for portal in portals])[row]
        self._at = at[row]
        self.total = len(row)
        self.expected: dict[str, Share] = scenario.expected(scale)

    def __iter__(self) -> Iterator[Message]:
        for start in range(0, self.total, _CHUNK):
            yield from self._messages(slice(start, start + _CHUNK))

    def _messages(self, rows: slice) -> Iterator[Message]:
        columns, texts = self._columns, self._texts
        dossier, status, at = self._dossier[rows], self._status[rows], self._at[rows]
        local = (at + VIETNAM_OFFSET_MINUTES * 60_000).astype("datetime64[ms]")
        extras = columns.extras[dossier] + np.where(status >= _SETTLED, columns.returned[dossier], 0)
        days = columns.day[dossier]
        dates = {day: f"{date_of(day):%Y%m%d}" for day in np.unique(days).tolist()}
        event, of, heads = encoding.event, self._ids.of, texts.heads
        origins, attributes, endings = texts.origins, texts.attributes, texts.extras
        for head, day, long_code, sequence, step, origin, number, attribute, text, extra, instant, repeat in zip(
            columns.head[dossier].tolist(),
            days.tolist(),
            columns.long_code[dossier].tolist(),
            columns.sequence[dossier].tolist(),
            self._ordinal[rows].tolist(),
            columns.origin[dossier].tolist(),
            status.tolist(),
            columns.attributes[dossier].tolist(),
            np.datetime_as_string(local).tolist(),
            extras.tolist(),
            at.tolist(),
            self._repeat[rows].tolist(),
            strict=True,
        ):
            date = dates[day]
            code = f"{heads[head]}-{date}-{sequence:07d}" if long_code else f"{heads[head]}-{date[2:]}-{sequence:04d}"
            value = event(
                event_id=of(code, step),
                dossier_code=code,
                origin=origins[origin],
                status=number,
                attributes=attributes[attribute],
                at=text,
                extras=endings[extra],
            )
            yield Message(code.encode(), value, instant, Kind.REPEAT if repeat else Kind.EVENT)


def _tables(portals: list[Portal]) -> tuple[_Columns, _Texts]:
    """The dossiers of all portals as one table, and the texts that its indices refer to."""
    texts = _Texts(
        heads=[prefix for portal in portals for prefix in portal.prefixes],
        origins=[encoding.origin(portal.agency, code) for portal in portals for code in portal.procedures],
        attributes=[encoding.attributes(channel, level) for channel in (1, 2, 3) for level in LEVELS],
        extras=[
            encoding.extras(
                legacy_level=_LEGACY[level] if portal.sends_legacy_level else 0,
                returned_by=returned or "",
                portal_id=portal.portal_id,
            )
            for portal in portals
            for level in LEVELS
            for returned in RETURNS
        ],
    )
    heads = np.cumsum([0, *(len(portal.prefixes) for portal in portals)])
    origins = np.cumsum([0, *(len(portal.procedures) for portal in portals)])
    endings = len(LEVELS) * len(RETURNS)
    channel = np.concatenate([portal.channel for portal in portals]).astype(np.int32)
    level = np.concatenate([portal.level for portal in portals]).astype(np.int32)
    number = np.repeat(np.arange(len(portals)), [len(portal.submitted) for portal in portals])
    columns = _Columns(
        head=(np.concatenate([portal.prefix for portal in portals]) + heads[number]).astype(np.int32),
        day=local_day(np.concatenate([portal.submitted for portal in portals])).astype(np.int32),
        sequence=np.concatenate([portal.sequence for portal in portals]),
        origin=(np.concatenate([portal.procedure for portal in portals]) + origins[number]).astype(np.int32),
        attributes=(channel - 1) * len(LEVELS) + level,
        extras=(number * endings + level * len(RETURNS)).astype(np.int32),
        returned=np.concatenate([portal.returned for portal in portals]),
        long_code=np.array([portal.long_codes for portal in portals])[number],
    )
    return columns, texts


def _arrivals(portal: Portal, seed: int) -> np.ndarray:
    """When each step of a portal reaches the topic (epoch ms, not before it happened)."""
    rng = rng_of(seed, "arrivals", portal.agency)
    delays = np.minimum(_DELAY_MEDIAN_MS * rng.lognormal(0.0, _DELAY_SIGMA, size=len(portal.at)), _MAX_DELAY_MS)
    if rng.random() < _BURST_PORTALS:
        every = int(rng.choice(_BURST_HOURS)) * 3_600_000
        arrivals: np.ndarray = -(-portal.at // every) * every + delays.astype(np.int64) // 10
    else:
        arrivals = portal.at + delays.astype(np.int64)
    return arrivals
