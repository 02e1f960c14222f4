"""A scenario as a stream of messages in a realistic order of arrival, and the ledger of what they must count as.

Most events arrive seconds after they happened; some portals send the events of some hours together; a few events are
delivered twice; a successor sends old history weeks later. The bytes depend on scenario, seed, scale and faults only.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Self

import numpy as np

from domain.agencies import AgencyRegistry
from domain.periods import VIETNAM_OFFSET_MINUTES
from producers.messages import Kind, Message
from producers.portals import event_encoding as encoding
from producers.portals.catalogue import rng_of
from producers.portals.dossier_faults import DossierFault, FaultShares
from producers.portals.dossier_plan import LEVELS, NO_STEP, RETURNS, STEPS
from producers.portals.event_ids import EventIds
from producers.portals.ledger import Ledger, ledger_of
from producers.portals.message_rows import MessageRows, Version, interleaved_order, rows_of_plan, with_repeats
from producers.portals.portal import Portal, build_portal
from producers.portals.scenarios import Scenario, Share
from producers.portals.schedule import OFFSET_MS, date_of, local_day

#: Rows that are turned into bytes at once: enough to be fast, few enough to need little memory.
_CHUNK: Final = 4_096
_LEGACY: Final = (0, 4, 3, 2)  # by level


class ScenarioStream:
    """The messages of one scenario; iterate as often as needed, the bytes are the same every time.

    Args:
        scenario: the scenario, whose figures come out exactly.
        seed: the seed of all draws.
        scale: whole factor on every volume.
        shares: the shares of the dossiers' faults; None: every dossier is regular.
        shuffled: whether messages come in any order instead of that of their arrival.
        interleaved: whether messages come in the order of steps within a dossier, and the dossiers all at the same time.
        numbers_from: added to the running number of every dossier, so that several streams share no dossier.
        registry: the registry of the agencies; None: the packaged one.
        portals: portals to use instead of those that settle the dossiers of the scenario's units.

    Attributes:
        total: messages, repeats included.
        expected: what counting I1 over the scenario's period must give for each agency code.
        portals: the portals with the plans of their dossiers; ``ledgers`` has the ledger of each.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        scale: int = 1,
        shares: FaultShares | None = None,
        shuffled: bool = False,
        interleaved: bool = False,
        numbers_from: int = 0,
        registry: AgencyRegistry | None = None,
        portals: Sequence[Portal] | None = None,
    ) -> None:
        shares = shares or FaultShares.regular()
        registry = registry or AgencyRegistry.packaged()
        # Volumes and faults differ in content, so they must not share event ids.
        name = scenario.name if scale == 1 else f"{scenario.name} x{scale}"
        self._stream = name if shares == FaultShares.regular() else f"{name} {sorted(shares.shares.items())}"
        self.scenario = scenario
        self._numbers_from = numbers_from
        self.portals = list(portals or ()) or [
            build_portal(unit, scenario.period, seed=seed, scale=scale, shares=shares, registry=registry)
            for unit in scenario.units
        ]
        self.ledgers: list[Ledger] = [
            ledger_of(portal.plan, portal.succession, foreign=portal.foreign) for portal in self.portals
        ]
        self._ids = EventIds(seed, self._stream)
        self.offsets = np.cumsum([0, *(len(portal.plan) for portal in self.portals)])
        parts = [
            rows_of_plan(portal, ledger, first=int(first), seed=seed)
            for portal, ledger, first in zip(self.portals, self.ledgers, self.offsets[:-1], strict=True)
        ]
        rows = with_repeats(MessageRows.joined(parts), rng_of(seed, "repeats", self._stream), shares[DossierFault.REPEATED])
        rng = rng_of(seed, "order", self._stream)
        if interleaved:
            order = interleaved_order(rows, rng)
        else:
            order = rng.permutation(len(rows.at)) if shuffled else np.argsort(rows.arrival, kind="stable")
        self._rows = rows.taken(order)
        self._texts = _Texts(self.portals)
        self._portal_of = np.repeat(np.arange(len(self.portals), dtype=np.int16), np.diff(self.offsets))
        self.total = len(order)
        self.expected: dict[str, Share] = scenario.expected(scale)

    def redated(self, first: int, *, step: int = 1) -> Self:
        """The same messages within a short time: each time is replaced by its rank, so that the order of all events stays.

        Args:
            first: the earliest time, epoch milliseconds. No merger may lie between old and new times.
            step: milliseconds between two successive times.
        """
        times = np.unique(self._rows.at)

        def moved(at: np.ndarray) -> np.ndarray:
            ranks: np.ndarray = np.searchsorted(times, at)
            return first + ranks * step

        found = copy.copy(self)
        found._rows = replace(self._rows, at=moved(self._rows.at))  # noqa: SLF001 - a copy of this object
        found.portals = [replace(one, plan=replace(one.plan, at=moved(one.plan.at))) for one in self.portals]
        found.ledgers = [ledger_of(one.plan, one.succession, foreign=one.foreign) for one in found.portals]
        return found

    def __iter__(self) -> Iterator[Message]:
        for start in range(0, self.total, _CHUNK):
            yield from self._messages(slice(start, start + _CHUNK))

    def messages_of(self, rows: np.ndarray) -> Iterator[Message]:
        """The messages with the numbers ``rows`` (from 0), in this order."""
        for start in range(0, len(rows), _CHUNK):
            yield from self._messages(rows[start : start + _CHUNK])

    def dossier_code(self, dossier: int) -> str:
        """The code of a dossier by its number among those of all portals."""
        number = int(self._portal_of[dossier])
        portal = self.portals[number]
        row = dossier - int(self.offsets[number])
        day = date_of(int(local_day(portal.plan.submitted[row])))
        return _code(portal.prefixes[portal.prefix[row]], f"{day:%Y%m%d}", self._number(portal, row), long=portal.long_codes)

    def dossiers(self) -> np.ndarray:
        """For each message the number of its dossier among those of all portals."""
        return self._rows.dossier

    def events(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each message the step of its dossier, the unit for which it is a new event (-1: none) and its time (ms)."""
        return self._rows.step, self._rows.counted, self._rows.at

    def originals(self) -> np.ndarray:
        """For each message whether it is the planned event of its step: no copy, no repeat, no wrong time."""
        found: np.ndarray = (self._rows.version == Version.EVENT) & (self._rows.counted >= 0)
        return found

    def identities(self) -> np.ndarray:
        """For each message the number of its event: messages that repeat one another have the same number."""
        rows = self._rows
        step = (rows.dossier.astype(np.int64) * STEPS + rows.step) * 2 + (rows.version == Version.AGAIN_NEW_ID)
        first = int(rows.at.min(initial=0))
        span: int = int(rows.at.max(initial=0)) - first + 1
        found: np.ndarray = step * span + (rows.at - first)
        return found

    def events_by_day(self) -> dict[tuple[str, int], int]:
        """How many distinct events there are: (unit, days since 1970-01-01) -> number."""
        rows = self._rows
        counted = rows.counted >= 0
        number = self._portal_of[rows.dossier[counted]].astype(np.int64)
        days = local_day(rows.at[counted])
        found, sizes = np.unique((number * 3 + rows.counted[counted]) << 32 | days, return_counts=True)
        events: dict[tuple[str, int], int] = {}
        for key, size in zip(found.tolist(), sizes.tolist(), strict=True):
            portal, unit = divmod(key >> 32, 3)
            place = self.ledgers[portal].codes[unit], key & 0xFFFFFFFF
            events[place] = events.get(place, 0) + size
        return events

    def _number(self, portal: Portal, row: int) -> int:
        return int(portal.sequence[row]) + self._numbers_from

    def _messages(self, chosen: slice | np.ndarray) -> Iterator[Message]:
        rows, texts = self._rows, self._texts
        dossier, step = rows.dossier[chosen], rows.step[chosen].astype(np.int64)
        version, at = rows.version[chosen], rows.at[chosen]
        columns = self._columns(dossier, step, version)
        unit = rows.unit[chosen]
        portal = self._portal_of[dossier].astype(np.int64)
        agency = (portal * 3 + unit) * encoding.CODE_FORMS + columns["code_form"]
        dates = {day: f"{date_of(day):%Y%m%d}" for day in np.unique(columns["day"]).tolist()}
        number_of_id = step + STEPS * (version == Version.AGAIN_NEW_ID)
        event, of = encoding.event, self._ids.of
        said = zip(
            portal.tolist(),
            columns["day"].tolist(),
            columns["prefix"].tolist(),
            columns["sequence"].tolist(),
            number_of_id.tolist(),
            agency.tolist(),
            columns["procedure"].tolist(),
            columns["status"].tolist(),
            columns["channel"].tolist(),
            columns["level"].tolist(),
            columns["returned"].tolist(),
            _local_texts(at),
            _due_texts(columns["due"]),
            at.tolist(),
            (rows.counted[chosen] >= 0).tolist(),
            strict=True,
        )
        for (number, day, prefix, sequence, of_id, sender, procedure, status, channel, level, returned,
             text, due, instant, new) in said:  # fmt: skip
            origin = self.portals[number]
            code = _code(origin.prefixes[prefix], dates[day], sequence, long=origin.long_codes)
            value = event(
                event_id=of(code, of_id),
                dossier_code=code,
                origin=f"{texts.agencies[sender]}{origin.procedures[procedure]}{encoding.STATUS}",
                status=status,
                attributes=texts.attributes[number][channel][level],
                at=text,
                extras=due + texts.extras[number][level][returned],
            )
            yield Message(code.encode(), value, instant, Kind.EVENT if new else Kind.REPEAT)

    def _columns(self, dossier: np.ndarray, step: np.ndarray, version: np.ndarray) -> dict[str, np.ndarray]:
        """The field values of the messages of some dossiers and steps, by name."""
        count = len(dossier)
        names = ("day", "prefix", "sequence", "procedure", "status", "channel", "level", "returned", "due", "code_form")
        columns = {name: np.zeros(count, dtype=np.int64) for name in names}
        portals = self._portal_of[dossier]
        for number in np.unique(portals).tolist():
            mine = np.flatnonzero(portals == number)
            portal = self.portals[number]
            plan, row, at = portal.plan, dossier[mine] - self.offsets[number], step[mine]
            full = version[mine] != Version.INCOMPLETE
            columns["day"][mine] = local_day(plan.submitted[row])
            columns["prefix"][mine] = portal.prefix[row]
            columns["sequence"][mine] = portal.sequence[row] + self._numbers_from
            columns["procedure"][mine] = plan.procedure[row]
            columns["status"][mine] = plan.status[row, at]
            columns["channel"][mine] = plan.channels[row, at] * full
            columns["level"][mine] = plan.levels[row, at] * full
            columns["returned"][mine] = plan.returns[row, at] * full
            columns["code_form"][mine] = plan.code_form[row]
            extended = plan.extended_step[row]
            later = (extended != NO_STEP) & (at >= extended)
            due = np.where(later, plan.due_later[row], plan.due[row])
            submitted = self.ledgers[number].steps["submitted"][row]
            hidden = plan.due_once[row] & (at != submitted) & (at != extended)
            columns["due"][mine] = np.where(full & ~hidden, due, -1)
        return columns


class _Texts:
    """The JSON texts that many messages share, by number of the portal."""

    def __init__(self, portals: list[Portal]) -> None:
        self.agencies = [
            encoding.agency(text)
            for portal in portals
            for code in (*portal.succession.codes, portal.foreign)
            for text in encoding.code_forms(code)
        ]
        self.attributes = [
            [[encoding.attributes(channel, level, missing=portal.missing) for level in LEVELS] for channel in range(4)]
            for portal in portals
        ]
        self.extras = [
            [
                [
                    encoding.extras(
                        legacy_level=_LEGACY[level] if portal.sends_legacy_level else 0,
                        returned_by=returned,
                        portal_id=portal.portal_id,
                    )
                    for returned in RETURNS
                ]
                for level in range(len(LEVELS))
            ]
            for portal in portals
        ]


def _code(prefix: str, date: str, sequence: int, *, long: bool) -> str:
    return f"{prefix}-{date}-{sequence:07d}" if long else f"{prefix}-{date[2:]}-{sequence:04d}"


def _local_texts(instants: np.ndarray) -> list[str]:
    local = (instants + VIETNAM_OFFSET_MINUTES * 60_000).astype("datetime64[ms]")
    texts: list[str] = np.datetime_as_string(local).tolist()
    return texts


def _due_texts(instants: np.ndarray) -> list[str]:
    """The JSON text of each due date; empty for -1."""
    if not (instants >= 0).any():
        return [""] * len(instants)
    local = (instants + OFFSET_MS).astype("datetime64[ms]").astype("datetime64[s]")
    return [
        encoding.due(text) if instant >= 0 else ""
        for text, instant in zip(np.datetime_as_string(local).tolist(), instants.tolist(), strict=True)
    ]
