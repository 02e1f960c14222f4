"""The truth by minute, by day, and by day and procedure, also for dossiers of which only the first steps have been sent.

``producers.portals.truth`` has the truth by day alone, for whole scenarios, with the findings. Comparisons with every tally need
this module: a correction that reaches the day tally and not the minute tally must be noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from domain.events import Status
from producers.portals.dossier_plan import NO_STEP, RETURN_COUNTER, STEPS, Plan
from producers.portals.ledger import COUNTS, ledger_of
from producers.portals.schedule import date_of, local_day
from producers.portals.simulate import ScenarioStream

#: What a tally counts, in the order of ``Figures``.
TALLIED: Final = ("events", *COUNTS)
#: The tables of the tallies, each with the columns of its key besides the agency, as text.
TIERS: Final = {
    "agency_minute": ("toString(toUnixTimestamp(minute))",),
    "agency_day": ("toString(day)",),
    "agency_day_procedure": ("toString(day)", "procedure_code"),
}
_MINUTE_MS: Final = 60_000

#: Agency, then the columns of ``TIERS``.
Key = tuple[str, ...]
#: The numbers of ``TALLIED``.
Figures = tuple[int, ...]
#: Table -> key -> figures. Keys without anything above 0 are omitted.
Tables = Mapping[str, Mapping[Key, Figures]]


@dataclass(slots=True)
class TierCounts:
    """Collects counted events, and computes the tallies that follow from them."""

    _agencies: dict[str, int] = field(default_factory=dict)
    _procedures: dict[str, int] = field(default_factory=dict)
    _parts: list[np.ndarray] = field(default_factory=list)

    def add(
        self,
        name: str,
        *,
        agencies: Sequence[str],
        agency: np.ndarray,
        at: np.ndarray,
        procedures: Sequence[str],
        procedure: np.ndarray,
    ) -> None:
        """Count some events.

        Args:
            name: the name of the count, one of ``TALLIED``.
            agencies: codes.
            agency: index into ``agencies`` of each event.
            at: epoch milliseconds of each event.
            procedures: codes.
            procedure: index into ``procedures`` of each event.
        """
        known = np.array([self._agencies.setdefault(code, len(self._agencies)) for code in agencies], dtype=np.int64)
        named = np.array([self._procedures.setdefault(code, len(self._procedures)) for code in procedures], dtype=np.int64)
        column = np.full(len(at), TALLIED.index(name), dtype=np.int64)
        self._parts.append(np.stack([column, known[agency], np.asarray(at, dtype=np.int64), named[procedure]]))

    def tables(self) -> Tables:
        """The tallies of all events that were added."""
        column, agency, at, procedure = np.concatenate([np.empty((4, 0), dtype=np.int64), *self._parts], axis=1)
        agencies, procedures = list(self._agencies), list(self._procedures)
        day = local_day(at)
        dates = {number: date_of(number).isoformat() for number in np.unique(day).tolist()}
        found: dict[str, dict[Key, Figures]] = {}
        for table, parts in (
            ("agency_minute", (at // _MINUTE_MS,)),
            ("agency_day", (day,)),
            ("agency_day_procedure", (day, procedure)),
        ):
            keys, place = np.unique(np.stack([agency, *parts]), axis=1, return_inverse=True)
            figures = np.bincount(place.ravel() * len(TALLIED) + column, minlength=keys.shape[1] * len(TALLIED))
            found[table] = {
                (
                    agencies[code],
                    str(when * 60) if table == "agency_minute" else dates[when],
                    *(procedures[number] for number in rest),
                ): tuple(counts)
                for (code, when, *rest), counts in zip(keys.T.tolist(), figures.reshape(-1, len(TALLIED)).tolist(), strict=True)
            }
        return found


def plan_of_sent(plan: Plan, sent: np.ndarray) -> Plan:
    """The plan of dossiers cut to the steps that were sent; dossiers without a sent step are omitted.

    The cut plan is right for ``COUNTS``, and not for findings and due dates.

    Args:
        plan: the plan of whole dossiers.
        sent: for each dossier and step, whether it is sent. A step is sent only when every earlier step of the dossier is.
    """
    exists = (plan.status > 0) & sent

    final = exists & (plan.status >= Status.SETTLED)
    at_counter = (final & (plan.returns == RETURN_COUNTER)).any(axis=1)
    unknown = (plan.returned == RETURN_COUNTER) & ~at_counter
    return replace(
        plan,
        status=plan.status * exists,
        returned=np.where(unknown, 0, plan.returned),
        no_channel=plan.no_channel | ~(exists & (plan.channels > 0)).any(axis=1),
    ).chosen(np.flatnonzero(exists.any(axis=1)))


def with_earlier_steps(stream: ScenarioStream, sent: np.ndarray) -> np.ndarray:
    """A mask of the sent messages and of the events of all steps up to the last one sent of each dossier, for ``add_scenario``.

    Copies, repeats and wrong times of these steps may be missing: they change nothing but ``events``. The first message of a
    repeat that is sent is included.
    """
    dossier, step, counted = stream.dossiers(), *stream.events()[:2]
    last = np.full(int(stream.offsets[-1]), NO_STEP, dtype=np.int8)
    np.maximum.at(last, dossier[sent], step[sent])
    identities = stream.identities()
    repeated = (counted >= 0) & np.isin(identities, identities[sent])
    found: np.ndarray = sent | repeated | (stream.originals() & (step <= last[dossier]))
    return found


def add_scenario(counts: TierCounts, stream: ScenarioStream, sent: np.ndarray | None = None) -> None:
    """Add the counts of a scenario's messages to ``counts``.

    Args:
        counts: gets the counts.
        stream: the messages.
        sent: which of them are sent (a mask that ``with_earlier_steps`` would not extend); None: all.
    """
    sent = np.ones(stream.total, dtype=bool) if sent is None else sent
    dossier, step, counted, at = (column[sent] for column in (stream.dossiers(), *stream.events()))
    for number, portal in enumerate(stream.portals):
        first, last = stream.offsets[number : number + 2]
        mine = (dossier >= first) & (dossier < last)
        row = dossier[mine] - first
        steps = np.zeros((last - first, STEPS), dtype=bool)
        steps[row, step[mine]] = True
        new = counted[mine] >= 0
        counts.add(
            "events",
            agencies=stream.ledgers[number].codes,
            agency=counted[mine][new].astype(np.int64),
            at=at[mine][new],
            procedures=portal.procedures,
            procedure=portal.plan.procedure[row[new]],
        )
        plan = plan_of_sent(portal.plan, steps)
        if not len(plan):
            continue
        ledger = ledger_of(plan, portal.succession, foreign=portal.foreign)
        for name, rows, columns in ledger.counts():
            if name in COUNTS:
                counts.add(
                    name,
                    agencies=ledger.codes,
                    agency=ledger.units[rows, columns].astype(np.int64),
                    at=plan.at[rows, columns],
                    procedures=portal.procedures,
                    procedure=plan.procedure[rows],
                )


def table_sql(database: str, table: str) -> str:
    """A query that returns every figure of a tally; ``read_table`` reads the answer.

    In a cluster the query adds up the shards.
    """
    keys = ", ".join(("agency", *TIERS[table]))
    sums = ", ".join(f"sum({name})" for name in TALLIED)
    return f"SELECT {keys}, {sums} FROM {database}.{table} FINAL GROUP BY {keys}"  # noqa: S608


def read_table(table: str, answer: str) -> dict[Key, Figures]:
    """Key -> figures of a tally, from the answer to ``table_sql`` (values separated by tabs)."""
    width = 1 + len(TIERS[table])
    found: dict[Key, Figures] = {}
    for line in answer.splitlines():
        values = line.split("\t")
        figures = tuple(map(int, values[width:]))
        if any(figures):
            found[tuple(values[:width])] = figures
    return found


def figure_differences(true: Mapping[Key, Figures], found: Mapping[Key, Figures]) -> list[str]:
    """A sentence for every figure of a tally that differs from the true one; empty when all are equal."""
    zero = (0,) * len(TALLIED)
    different = sorted(key for key in {*true, *found} if true.get(key, zero) != found.get(key, zero))
    return [
        f"{' '.join(key)}: {name} is {is_:,}, the truth is {due:,}."
        for key in different
        for name, is_, due in zip(TALLIED, found.get(key, zero), true.get(key, zero), strict=True)
        if is_ != due
    ]
