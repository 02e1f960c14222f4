"""A model of several writers that count dossiers at the same time, on a real ClickHouse.

Two workers store, resolve and recount batches, interleaved at every step by a seeded source. They crash (the batch is
redelivered), and freeze (another worker gets the batch, and the frozen one continues later). Operators may exclude dossiers and
include them again meanwhile, and load catalogues; a command that broke off is given again. At the end every tally must be what
``judge`` says about all messages, all decisions and the last catalogue.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import pyarrow as pa

from domain.catalogue import Catalogue, CatalogueEntry
from domain.dossiers import Dossier, Levels, judge, no_levels
from domain.events import DossierEvent
from domain.exclusions import ExclusionDecision, last_decision
from domain.periods import Period, civil_day
from pipeline.catalogue.recount import CatalogueRecount
from pipeline.ingest.dossier_resolver import Corrected, DossierResolver
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.store import ClickHouseStore
from sinks.clickhouse.tally_sql import COUNT_NAMES
from sinks.contract.tallies import Days, Span
from tests.contract.clustered import storage_of
from tests.factories import rows_of

#: Two minutes before a civil midnight.
START = dt.datetime(2024, 3, 15, 16, 58, tzinfo=dt.UTC)
_TALLIES = ("agency_minute", "agency_day", "agency_day_procedure")
_TABLES = (
    *("dossier_messages", "dossier_index", "dossier_corrections", "dossier_exclusions", *_TALLIES),
    *("catalogue_entries", "catalogue_loads", "catalogue_recounts"),
)


def dossiers_of(source: random.Random) -> list[DossierEvent]:
    """A few dossiers: nearly regular ones, and wild ones with ties, repeats, refusals and several units."""
    messages: list[DossierEvent] = []
    for number in range(source.randint(1, 4)):
        regular = source.random() < 0.6
        made = _regular(source, number) if regular else _wild(source, number)
        for message in made[:]:
            if source.random() < (0.05 if regular else 0.15):
                made.append(_again(source, message))
        messages += made
    return list(dict.fromkeys(messages))


def _event(source: random.Random, number: int, **fields: object) -> DossierEvent:
    return DossierEvent(
        **{
            "event_id": uuid.UUID(int=source.getrandbits(128)),
            "dossier_code": f"000.00.00.H17-240315-{number:05d}",
            "agency": "H17",
            "procedure_code": "1.1",
            "service_level": "toan_trinh",
            "named_by_code": fields.get("agency", "H17") == "H17",
        }
        | fields
    )


def _regular(source: random.Random, number: int) -> list[DossierEvent]:
    channel = source.choice((1, 2, 2, 3))
    path = [1, 2, 4, 9, 10] if channel == 2 else [2, 4, 9, 10]
    path = [status for status in path if source.random() < 0.85] + [source.choice((2, 9, 10, 3))] * (source.random() < 0.25)
    return [
        _event(
            source,
            number,
            status=status,
            channel=channel,
            occurred_at=START + dt.timedelta(days=2 * step, minutes=source.randint(0, 3), seconds=number),
            returned_by=source.choice(("counter", "online")) if status == 10 else "",
        )
        for step, status in enumerate(path)
    ]


def _wild(source: random.Random, number: int) -> list[DossierEvent]:
    channel = source.choice((1, 2, 2, 3))
    return [
        _event(
            source,
            number,
            status=source.choice((1, 1, 2, 2, 4, 9, 9, 10, 10, 3, 7, 8, 5)),
            channel=channel if source.random() < 0.85 else source.choice((0, 1, 2, 3)),
            occurred_at=_instant(source),
            agency=source.choice(("H17", "H17", "H18")),
            procedure_code=source.choice(("1.1", "1.2")),
            service_level=source.choice(("toan_trinh", "toan_trinh", "mot_phan", "")),
            returned_by=source.choice(("", "", "", "online", "post", "counter")),
        )
        for _ in range(source.randint(1, 7))
    ]


def without_levels(source: random.Random, messages: list[DossierEvent]) -> list[DossierEvent]:
    """The messages; of most dossiers none has a level, or only some have one, and all are online."""
    codes = sorted({message.dossier_code for message in messages})
    shares = {code: source.choice((0.0, 0.0, 0.0, 0.5)) for code in codes}
    online = {code: {"channel": 2} if source.random() < 0.7 else {} for code in codes}
    bare = [
        replace(message, **online[message.dossier_code])
        if source.random() < shares[message.dossier_code]
        else replace(message, service_level="", **online[message.dossier_code])
        for message in messages
    ]
    return list(dict.fromkeys(bare))


def a_catalogue(source: random.Random) -> list[CatalogueEntry]:
    """The services of one or two units: some of them, at some level, some only from a later day on."""
    first, later = dt.date(2020, 1, 1), civil_day(START) + dt.timedelta(days=source.choice((0, 1, 4)))
    found = []
    for agency in source.choice((("H17",), ("H17",), ("H17", "H18"))):
        found.append(CatalogueEntry(agency, "1.9", first))  # so that the unit always has a catalogue
        for procedure in ("1.1", "1.2"):
            levels = [source.choice(("toan_trinh", "toan_trinh", "mot_phan", "")) for _ in range(2)]
            if source.random() < 0.3:
                found.append(CatalogueEntry(agency, procedure, later, service_level=levels[0]))
            elif source.random() < 0.8:
                before = later - dt.timedelta(days=1)
                found.append(CatalogueEntry(agency, procedure, first, before, service_level=levels[0]))
                found.append(CatalogueEntry(agency, procedure, later, service_level=levels[1]))
    return found


def _instant(source: random.Random) -> dt.datetime:
    return START + source.choice(
        [dt.timedelta(minutes=minutes) for minutes in range(4)] + [dt.timedelta(days=days) for days in (1, 20)]
    )


def _again(source: random.Random, message: DossierEvent) -> DossierEvent:
    """The same event id again: with another time, unit, status or content."""
    fields = {name: getattr(message, name) for name in message.__slots__}
    change = source.choice(
        (
            {"occurred_at": _instant(source)},
            {"channel": source.randint(0, 3)},
            {"service_level": source.choice(("", "mot_phan"))},
            {"agency": "H18", "named_by_code": False},
            {"status": source.choice((1, 3, 9, 10))},
            {"procedure_code": "1.2"},
        )
    )
    return DossierEvent(**fields | change)


def expected(
    messages: list[DossierEvent],
    decisions: Mapping[str, Sequence[ExclusionDecision]] = MappingProxyType({}),
    levels: Levels = no_levels,
) -> dict[str, dict[tuple[object, ...], Counter[str]]]:
    """Table -> key -> counts, by the rules of the domain. ``decisions``: those of operators about each dossier code.

    ``levels``: those of the catalogue.
    """
    found: dict[str, defaultdict[tuple[object, ...], Counter[str]]] = {table: defaultdict(Counter) for table in _TALLIES}

    def add(event: DossierEvent, name: str) -> None:
        minute, day = event.occurred_at.replace(second=0, microsecond=0), civil_day(event.occurred_at)
        found["agency_minute"][event.agency, int(minute.timestamp())][name] += 1
        found["agency_day"][event.agency, str(day)][name] += 1
        found["agency_day_procedure"][event.agency, str(day), event.procedure_code][name] += 1

    by_code: defaultdict[str, list[DossierEvent]] = defaultdict(list)
    for message in messages:
        by_code[message.dossier_code].append(message)
    for known in by_code.values():
        distinct: dict[tuple[object, ...], list[DossierEvent]] = defaultdict(list)
        for message in known:
            distinct[message.agency, message.occurred_at, message.event_id, message.status].append(message)
        for same in distinct.values():
            add(judge(same).events[0], "events")  # type: ignore[union-attr]
        dossier = judge(known, decisions.get(known[0].dossier_code, ()), levels)
        if not isinstance(dossier, Dossier):
            continue
        for event in dossier.events:
            for name in dossier.counts_of(event):
                add(event, name)
        if dossier.given_back:
            add(dossier.given_back, "given_back")
    return {table: dict(rows) for table, rows in found.items()}


def tallied(clickhouse: ClickHouse) -> dict[str, dict[tuple[object, ...], Counter[str]]]:
    """Table -> key -> counts, as stored."""
    keys = {
        "agency_minute": "agency, toUnixTimestamp(minute)",
        "agency_day": "agency, toString(day)",
        "agency_day_procedure": "agency, toString(day), procedure_code",
    }
    found: dict[str, dict[tuple[object, ...], Counter[str]]] = {}
    for table, key in keys.items():
        counts = ", ".join(f"sum({name})" for name in COUNT_NAMES)  # each shard of a cluster has a part
        rows = clickhouse.rows("test", f"SELECT {key}, {counts} FROM {table} FINAL GROUP BY ALL")
        width = -len(COUNT_NAMES)
        found[table] = {
            tuple(row[:width]): Counter({name: int(value) for name, value in zip(COUNT_NAMES, row[width:], strict=True) if value})
            for row in rows
        }
    return found


class PausingClickHouse:
    """A client whose recounts read first and write later, when ``write`` is called: others may act between."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse, self._read = clickhouse, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> object:
        return getattr(self._clickhouse, name)

    def command(self, operation: str, sql: str, parameters: dict[str, object] | None = None, **settings: object) -> None:
        """Read the rows of a recount; run any other command."""
        if not operation.startswith(("recount_", "roll_up_")):
            self._clickhouse.command(operation, sql, parameters, **settings)
            return
        into, _, select = sql.partition(") ")
        into += ")"
        body = self._clickhouse.call(
            operation, lambda client: client.raw_query(select, parameters=parameters or {}, fmt="RowBinary")
        )
        self._read.append((into, body))

    def write(self) -> None:
        """Write what recounts read since the last call."""
        read, self._read = self._read, []
        for into, body in read:
            if body:
                table, _, columns = into.removeprefix("INSERT INTO ").partition(" ")
                names = [name.strip() for name in columns.strip("() ").split(",")]
                self._clickhouse.insert("test", table, names, body, "RowBinary", max_partitions_per_insert_block=0)


@dataclass(frozen=True)
class Command:
    """An operator excludes a dossier, or includes it again."""

    code: str
    excluded: bool


@dataclass(frozen=True)
class Load:
    """An operator loads a catalogue."""

    entries: tuple[CatalogueEntry, ...]


#: What a worker or an operator does: a batch of messages, a command, or steps of another kind.
Work = list[DossierEvent] | Command | Load | Callable[[], Iterator[str]]


@dataclass
class Model:
    """Runs cases on one database; counts what happened."""

    clickhouse: ClickHouse
    resolver: Callable[[ClickHouse], DossierResolver] = lambda clickhouse: DossierResolver(storage_of(clickhouse).dossier_index())
    seen: Counter[str] = field(default_factory=Counter)
    numbers: dict[DossierEvent, int] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)  # numbers of the messages that no worker has in hand
    after_step: Callable[[random.Random], None] = lambda _source: None
    #: Whether operators exclude dossiers and include them again meanwhile.
    deciding: bool = False
    #: Whether operators load catalogues meanwhile, and messages may have no level.
    loading: bool = False
    decisions: dict[str, Sequence[ExclusionDecision]] = field(default_factory=dict)

    def run(self, seed: int) -> list[str]:
        """Run one case; returns the tallies that are wrong, as sentences."""
        source = random.Random(seed)
        for table in _TABLES:
            self.clickhouse.command("test", f"TRUNCATE TABLE {table}")
        self.clickhouse.command("test", f"SYSTEM {source.choice(('STOP', 'START'))} MERGES")
        messages = dossiers_of(source)
        if self.loading:
            messages = without_levels(source, messages)
        self.numbers = {message: number for number, message in enumerate(messages)}
        self.acknowledged = set()
        waiting: list[Work] = list(self._batches(source, messages))
        if self.deciding:
            for _ in range(source.randint(1, 5)):
                command = Command(source.choice(messages).dossier_code, excluded=source.random() < 0.6)
                waiting.insert(source.randrange(len(waiting) + 1), command)
        if self.loading:
            for _ in range(source.randint(1, 4)):
                waiting.insert(source.randrange(len(waiting) + 1), Load(tuple(a_catalogue(source))))
        for other in self.others(source):
            waiting.insert(source.randrange(len(waiting) + 1), other)
        try:
            self._interleave(source, waiting)
        finally:
            self.clickhouse.command("test", "SYSTEM START MERGES")  # of the whole server
        self.seen["cases"] += 1
        self.seen["messages"] += len(messages)
        exclusions = storage_of(self.clickhouse).exclusions()
        self.decisions = {code: exclusions.decisions(code) for code in {message.dossier_code for message in messages}}
        self.seen["decisions"] += sum(map(len, self.decisions.values()))
        levels = Catalogue(storage_of(self.clickhouse).catalogue().entries()).level
        self.seen["filled"] += sum(
            isinstance(dossier, Dossier) and dossier.level != dossier.sent_level
            for dossier in (
                judge([message for message in messages if message.dossier_code == code], (), levels)
                for code in {message.dossier_code for message in messages}
            )
        )
        unfinished = storage_of(self.clickhouse).catalogue_recounts().unfinished()
        wrong = [f"The recount of {agency} is not finished." for agency in unfinished]
        return wrong + list(_differences(self.right(messages, levels), tallied(self.clickhouse)))

    def others(self, source: random.Random) -> list[Work]:  # noqa: ARG002
        """What else happens meanwhile: nothing."""
        return []

    def right(self, messages: list[DossierEvent], levels: Levels) -> dict[str, dict[tuple[object, ...], Counter[str]]]:
        """The tallies that there must be at the end."""
        return expected(messages, self.decisions, levels)

    def _batches(self, source: random.Random, messages: list[DossierEvent]) -> list[list[DossierEvent]]:
        order = messages[:]
        source.shuffle(order)
        if source.random() < 0.3:
            order.sort(key=lambda message: message.occurred_at)
        batches = []
        while order:
            size = source.randint(1, 4)
            batches.append(order[:size])
            order = order[size:]
        for _ in range(source.randint(0, 4)):
            batches.insert(source.randrange(len(batches) + 1), source.sample(messages, min(len(messages), source.randint(1, 4))))
        return batches

    def _interleave(self, source: random.Random, waiting: list[Work]) -> None:
        running: list[tuple[Iterator[str], Work] | None] = [None, None]
        frozen: list[Iterator[str]] = []
        while waiting or any(running) or frozen:
            if frozen and source.random() < 0.2:
                steps = source.choice(frozen)
                if next(steps, None) is None:
                    frozen.remove(steps)
                continue
            worker = source.randrange(2)
            current = running[worker]
            if current is None:
                if waiting:
                    batch = waiting.pop(0)
                    running[worker] = (self._steps_of(source, batch), batch)
                continue
            steps, batch = current
            chance = source.random()
            if chance < 0.05:  # it is redelivered, a command is given again; who is frozen continues later, who crashed does not
                waiting.insert(source.randrange(len(waiting) + 1), batch)
                running[worker] = None
                self.seen["crashes" if chance < 0.03 else "frozen"] += 1
                frozen += [steps] if chance >= 0.03 else []
            elif next(steps, None) is None:
                running[worker] = None
                if isinstance(batch, list):
                    self.acknowledged |= {self.numbers[message] for message in batch}
            self.after_step(source)

    def _steps_of(self, source: random.Random, work: Work) -> Iterator[str]:
        if isinstance(work, Command):
            return self._decide(source, work)
        if isinstance(work, Load):
            return self._load(work)
        return self._write(source, work) if isinstance(work, list) else work()

    def _load(self, load: Load) -> Iterator[str]:
        """The work of ``portalpulse catalogue load``, a step at a time (``pipeline.catalogue.recount.recount_all``)."""
        storage_of(self.clickhouse).catalogue().load(load.entries)
        yield "loaded"
        clickhouse = PausingClickHouse(self.clickhouse)
        store = storage_of(clickhouse).events()  # type: ignore[arg-type]

        def recount(day: dt.date, _agencies: Sequence[str]) -> None:
            store.recount_minutes(Span(*Period(day, day).instants()))
            clickhouse.write()
            for tier in (store.roll_up_days, store.recount_procedures):
                tier(Days((day,)))
                clickhouse.write()

        steps = CatalogueRecount(
            storage_of(self.clickhouse).catalogue_recounts(), index=storage_of(self.clickhouse).dossier_index(), recount=recount
        )
        plan = steps.plan(sorted({entry.agency for entry in load.entries}))
        yield "planned"
        for day in plan.days:
            yield from steps.day_steps(day, sorted(plan.loads))
        if plan.loads:
            steps.finish(plan.loads)
        yield "finished"

    def _write(self, source: random.Random, batch: list[DossierEvent]) -> Iterator[str]:
        """The work of a worker for one batch, a step at a time."""
        clickhouse = PausingClickHouse(self.clickhouse)
        store = storage_of(clickhouse).events()  # type: ignore[arg-type]
        # A partition for each message, so that each can be acknowledged by itself.
        rows = pa.concat_tables(
            [rows_of([message], partition=self.numbers[message]) for message in batch], promote_options="none"
        )
        store.insert_events(rows)
        yield "stored"
        instants = {message.occurred_at for message in batch}
        if source.random() < 0.3:  # live minutes are recounted before their dossiers are resolved
            yield from self._minutes(source, store, clickhouse, instants)
        resolver = self.resolver(self.clickhouse)
        indexed = resolver.add(rows)
        yield "indexed"
        corrected = yield from resolver.steps(indexed)
        yield from self._count(source, store, clickhouse, resolver, corrected=corrected, instants=instants)

    def _decide(self, source: random.Random, command: Command) -> Iterator[str]:
        """The work of an operator's command, a step at a time, in the order of ``pipeline.dossiers.exclusion``."""
        exclusions, clickhouse = storage_of(self.clickhouse).exclusions(), PausingClickHouse(self.clickhouse)
        known = exclusions.decisions(command.code)
        last = last_decision(known)
        if last is None or last.excluded != command.excluded:
            known = [*known, exclusions.decide(command.code, excluded=command.excluded, reason="a test", name="an operator")]
            yield "decided"
        resolver = self.resolver(self.clickhouse)
        indexed = resolver.add_decisions(command.code, known)
        yield "indexed"
        corrected = yield from resolver.steps(indexed)
        store = storage_of(clickhouse).events()  # type: ignore[arg-type]
        yield from self._count(source, store, clickhouse, resolver, corrected=corrected, instants=set())

    def _count(
        self,
        source: random.Random,
        store: ClickHouseStore,
        clickhouse: PausingClickHouse,
        resolver: DossierResolver,
        *,
        corrected: Corrected,
        instants: set[dt.datetime],
    ) -> Iterator[str]:
        """Recount what messages at these instants and the corrections touched, and confirm the corrections."""
        instants = instants | {dt.datetime.fromtimestamp(int(at) / 1000, dt.UTC) for at in corrected.instants}
        if not instants:
            return
        yield from self._minutes(source, store, clickhouse, instants)
        days = Days(tuple(sorted({civil_day(instant) for instant in instants})))
        for recount in (store.roll_up_days, store.recount_procedures):
            recount(days)
            yield "read"
            clickhouse.write()
            yield "written"
        store.check_tables()
        yield "checked"
        clickhouse.write()
        if corrected.claims.num_rows:
            resolver.confirm(corrected)
            yield "confirmed"

    def _minutes(
        self, source: random.Random, store: ClickHouseStore, clickhouse: PausingClickHouse, instants: set[dt.datetime]
    ) -> Iterator[str]:
        minute = dt.timedelta(minutes=1)
        spans = [(start, start + minute) for start in sorted({instant.replace(second=0, microsecond=0) for instant in instants})]
        if source.random() < 0.7:
            spans = [(spans[0][0], spans[-1][1])]
        for span in spans:
            store.recount_minutes(Span(*span))
            yield "read"
            clickhouse.write()
            yield "written"


def _differences(
    right: dict[str, dict[tuple[object, ...], Counter[str]]], stored: dict[str, dict[tuple[object, ...], Counter[str]]]
) -> Iterator[str]:
    for table, rows in right.items():
        for key in sorted(rows.keys() | stored[table].keys(), key=str):
            if rows.get(key, Counter()) != stored[table].get(key, Counter()):
                yield f"{table} {key}: {dict(stored[table].get(key, {}))} stored, {dict(rows.get(key, {}))} right"
