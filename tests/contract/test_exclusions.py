"""Excluding a dossier and including it again, on every implementation, whatever breaks off, comes late or is repaired."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError, UnavailableError
from domain.exclusions import MAX_TEXT
from domain.findings import FindingKind
from domain.periods import Period, civil_day
from pipeline.audit.dossier_check import DossierFault
from pipeline.dossiers.excluded import ExcludedDossiers
from pipeline.dossiers.exclusion import ExclusionService
from pipeline.dossiers.service import DossierService
from pipeline.findings.found import Place
from pipeline.findings.service import FindingService, found_in_all
from pipeline.ingest.dossier_resolver import DossierResolver
from pipeline.settings import load_settings
from pipeline.wiring.features import dossier_service, exclusion_service
from sinks.clickhouse import dossier_reader
from sinks.contract.audit import HashShard
from sinks.contract.dossier_audit import DossierSelection
from sinks.contract.findings import FindingScope
from sinks.contract.tallies import Days, Span
from sinks.errors import Retryable
from tests.contract.breadth import cases, mainly_served, seeds
from tests.contract.clustered import storage_of
from tests.contract.dossier_model import Model, expected, tallied
from tests.contract.test_dossier_audit import Destination, run_beside_repairs
from tests.factories import MORNING, an_event, rows_of
from tests.fakes import MemoryFindingReader, MemoryStore, fields_of

REGISTRY = AgencyRegistry.packaged()
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
BY = "Lan, Sở TTTT"
REASON = "gửi nhầm: thử \\n 'hệ thống' \"mới\" {a:String} %s"
ALWAYS = FindingScope(Period(dt.date(1976, 1, 1), dt.date(2106, 2, 6)))
_codes = itertools.count(1)


@dataclass
class Storage:
    """A storage with the writers of a worker and everything that knows of decisions."""

    store: object
    index: object
    exclusions: object
    reader: object
    finding_reader: object
    recount: Callable
    tallies: Callable

    @property
    def service(self) -> ExclusionService:
        return ExclusionService(self.exclusions, reader=self.reader, index=self.index, recount=self.recount)

    @property
    def explanations(self) -> DossierService:
        return DossierService(self.reader, self.exclusions, REGISTRY)

    def take(self, messages, *, offset=0) -> None:
        """Store, resolve and recount messages as a worker does, only the days that this touches."""
        rows = rows_of(messages, offset=offset)
        self.store.insert_events(rows)
        resolver = DossierResolver(self.index)
        corrected = resolver.resolve(resolver.add(rows))
        instants = [message.occurred_at for message in messages]
        instants += [dt.datetime.fromtimestamp(int(at) / 1000, dt.UTC) for at in corrected.instants]
        for day in sorted({civil_day(instant) for instant in instants}):
            recounted(self.store, day, None)
        if corrected.claims.num_rows:
            resolver.confirm(corrected)

    def exclude(self, code, reason=REASON, name=BY):
        return self.service.change(code, excluded=True, reason=reason, name=name)

    def include(self, code):
        return self.service.change(code, excluded=False, name=BY)

    def is_right(self, messages) -> bool:
        """Whether every tally is what the rules give for the messages and the stored decisions. A tally of zeros is none."""
        decisions = {code: self.exclusions.decisions(code) for code in {message.dossier_code for message in messages}}
        stored = {table: {key: row for key, row in rows.items() if row} for table, rows in self.tallies().items()}
        return stored == expected(messages, decisions)

    def kinds(self) -> set[tuple[str, Place]]:
        """The findings of all time."""
        found = found_in_all(FindingService(self.finding_reader, REGISTRY), ALWAYS)
        return {(kind.value, place) for place, kind in found.dossiers}


def recounted(store, day, agencies) -> None:
    """Count a civil day again in every tier."""
    chosen = None if agencies is None else tuple(agencies)
    days = Days((day,), chosen)
    store.recount_minutes(Span(*Period(day, day).instants(), chosen))
    store.roll_up_days(days)
    store.recount_procedures(days)


def in_clickhouse(clickhouse) -> Storage:
    """A real storage, which recounts as the audit does."""
    destination = Destination(clickhouse)
    return Storage(
        destination.store,
        destination.index,
        storage_of(clickhouse).exclusions(),
        storage_of(clickhouse).dossier_reader(),
        storage_of(clickhouse).findings(),
        lambda day, agencies: destination.service.repair(day, agencies, raise_epoch=False),
        lambda: tallied(clickhouse),
    )


def in_memory() -> Storage:
    """The double."""
    store = MemoryStore()

    def tallies():
        def counter(tally):
            return +Counter(fields_of(tally.counts))

        return {
            "agency_minute": {(unit, int(minute.timestamp())): counter(tally) for (unit, minute), tally in store.minutes.items()},
            "agency_day": {(unit, str(day)): counter(tally) for (unit, day), tally in store.days.items()},
            "agency_day_procedure": {
                (unit, str(day), procedure): counter(tally) for (unit, day, procedure), tally in store.procedures.items()
            },
        }

    return Storage(
        store, store, store, store, MemoryFindingReader(store), lambda day, agencies: recounted(store, day, agencies), tallies
    )


@pytest.fixture(
    params=[
        "memory",
        pytest.param("served", marks=pytest.mark.integration),
        pytest.param("embedded", marks=pytest.mark.long),
    ]
)
def storage(request):
    """Each implementation in turn, empty; the embedded engine, which runs the same statements, in long runs."""
    return in_memory() if request.param == "memory" else in_clickhouse(request.getfixturevalue(request.param))


def a_dossier(*statuses, code=None, **changes):
    """A dossier whose events follow each other; it lies on several days."""
    code = code or f"H17.1-240102-{next(_codes):06d}"
    return [
        an_event(
            **{"dossier_code": code, "status": status, "occurred_at": MORNING + number * 10 * HOUR, "named_by_code": True}
            | changes
        )
        for number, status in enumerate(statuses)
    ]


def other_dossiers():
    """Dossiers on the same days that must not change."""
    return [*a_dossier(1, 2, 9), *a_dossier(1, 9, 9), *a_dossier(2, 3, channel=1)]


@pytest.mark.parametrize(
    "statuses",
    cases(
        {
            "-".join(map(str, statuses)): (statuses,)
            for statuses in ((1, 2, 4, 9), (1, 9, 9, 10), (1, 3), (4, 10), (1, 3, 2, 7), (4,))
        },
        fast=("1-9-9-10",),
    ),
)
def test_an_excluded_dossier_counts_in_events_only_until_it_is_included_again(storage, statuses):
    """Every figure falls by what the dossier counted as, and is as before when it is included again."""
    dossier = a_dossier(*statuses)
    messages, code = [*dossier, *other_dossiers()], dossier[0].dossier_code
    storage.take(messages)
    before = storage.tallies()
    changed = storage.exclude(code)
    assert (changed["excluded"], changed["repeated"], changed["messages"]) == (True, False, len(dossier))
    assert (changed["decision"]["reason"], changed["decision"]["name"]) == (REASON, BY)
    assert storage.is_right(messages)
    assert storage.tallies() != before
    removed = {milestone["name"] for milestone in changed["milestones"]}
    assert removed >= {"submitted"}
    changed = storage.include(code)
    assert (changed["excluded"], {milestone["name"] for milestone in changed["milestones"]}) == (False, removed)
    assert storage.is_right(messages)
    assert storage.tallies() == before


def test_messages_that_come_again_or_later_change_nothing(storage):
    """Whatever comes of an excluded dossier counts in events only, also redelivered; all of it counts once it is included."""
    dossier = a_dossier(1, 2, 9)
    storage.take(dossier)
    storage.exclude(dossier[0].dossier_code)
    storage.take(dossier, offset=50)
    assert storage.is_right(dossier)
    later = [
        *a_dossier(10, 9, code=dossier[0].dossier_code, occurred_at=MORNING + 3 * DAY),
        replace(dossier[2], occurred_at=MORNING + 2 * DAY),
        replace(dossier[0], channel=1),
    ]
    for number, message in enumerate(later):
        storage.take([message], offset=70 + number)
        assert storage.is_right([*dossier, *later[: number + 1]])
    storage.include(dossier[0].dossier_code)
    assert storage.is_right([*dossier, *later])


def test_a_dossier_may_be_excluded_before_its_first_message(storage):
    """A decision about an unknown dossier waits for its messages."""
    dossier = a_dossier(1, 2, 9)
    code = dossier[0].dossier_code
    changed = storage.exclude(code)
    assert (changed["messages"], changed["milestones"], changed["recounted"]) == (0, [], [])
    assert storage.explanations.explain(code)["remark"].endswith("a message that comes will be part of no figure but events.")
    storage.take(dossier)
    assert storage.is_right(dossier)
    assert {name for (_, counts) in storage.tallies()["agency_day"].items() for name in counts} == {"events"}
    storage.include(code)
    assert storage.is_right(dossier)


def test_a_dossier_of_two_units_counts_for_neither(storage):
    """The figures of both units fall, each on the day of its milestone, and exactly their days are recounted."""
    first = a_dossier(1, 2)
    code = first[0].dossier_code
    second = a_dossier(9, code=code, agency="G01", occurred_at=MORNING + 2 * DAY, named_by_code=False)
    messages = [*first, *second, *other_dossiers()]
    storage.take(messages)
    changed = storage.exclude(code)
    assert [(milestone["name"], milestone["unit"]) for milestone in changed["milestones"]] == [
        ("submitted", "H17"),
        ("settled", "G01"),
    ]
    days = [str(civil_day(MORNING)), str(civil_day(MORNING + 2 * DAY))]
    assert changed["recounted"] == [{"day": days[0], "units": ["H17"]}, {"day": days[1], "units": ["G01"]}]
    assert storage.is_right(messages)
    storage.include(code)
    assert storage.is_right(messages)


def test_the_last_decision_holds(storage):
    """Any number of decisions may follow each other; the reason of the last one is shown, and all of them are kept."""
    dossier = a_dossier(1, 9)
    code = dossier[0].dossier_code
    storage.take(dossier)
    for step in ("first", "again", None, "third", None):
        if step is None:
            storage.include(code)
        else:
            storage.exclude(code, reason=step)
        assert storage.is_right(dossier)
    kept = storage.explanations.explain(code)["decisions"]
    assert [decision["reason"] for decision in kept] == ["first", "again", None, "third", None]
    times = [decision["decided_at"] for decision in kept]
    assert times == sorted(times)
    assert len(set(times)) == 5


@pytest.mark.long
@pytest.mark.parametrize("excluded", [True, False])
def test_a_command_that_ends_anywhere_is_completed_by_the_same_command(storage, excluded):
    """After a crash between any two steps the same command leaves what the rules give, and decides nothing a second time."""
    messages, seen, steps = [], set(), 0
    while True:
        dossier = a_dossier(1, 2, 9, 9)
        code = dossier[0].dossier_code
        dossier += a_dossier(3, code=code, agency="G01", named_by_code=False)
        messages += dossier
        storage.take(dossier)
        if not excluded:
            storage.exclude(code)
        before = len(storage.exclusions.decisions(code))
        reached = list(
            itertools.islice(storage.service.steps(code, excluded=excluded, reason=REASON if excluded else "", name=BY), steps)
        )
        changed = storage.exclude(code) if excluded else storage.include(code)
        assert changed["repeated"] is (steps > 0)
        assert len(storage.exclusions.decisions(code)) == before + 1
        assert storage.is_right(messages), reached
        seen.update(reached)
        if len(reached) < steps:
            break
        steps += 1
    assert reached[:2] == ["decided", "indexed"]
    assert seen == {"decided", "indexed", "looked", "judged", "claimed", "corrected", "recounted", "confirmed"}


@pytest.mark.parametrize(
    "fails", ["decide", "decide:done", "add", "histories", "claim:done", "correct", "roll_up_days", "confirm"]
)
def test_a_storage_that_fails_midway_is_told_with_what_to_do(fails):
    """The error says that the same command completes it, and it does."""
    storage, messages = in_memory(), a_dossier(1, 2, 9)
    storage.take(messages)
    failing = [fails]

    def fault(step):
        if failing == [step]:
            failing.clear()
            raise Retryable("the storage is away")

    storage.store.fault = fault
    with pytest.raises(UnavailableError, match=r"the storage is away.*Run the same command again"):
        storage.exclude(messages[0].dossier_code)
    storage.exclude(messages[0].dossier_code)
    assert storage.is_right(messages)
    assert len(storage.exclusions.decisions(messages[0].dossier_code)) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"code": "H17"}, "'H17' is not a dossier code"),
        ({"code": "H17-240102-0001\n"}, "is not a dossier code"),
        ({"reason": " "}, "The reason is empty"),
        ({"reason": "x" * (MAX_TEXT + 1)}, "The reason has 501 characters"),
        ({"reason": "one\ntwo"}, "The reason has a control character"),
        ({"name": ""}, "The name is empty"),
        ({"name": "a\x1b[0m"}, "The name has a control character"),
        ({"excluded": False}, "was never excluded"),
    ],
)
def test_what_cannot_be_decided_is_refused(change, problem):
    """A code that no message can have, a reason or name that cannot be shown, and an inclusion of what counts."""
    storage = in_memory()
    wanted = {"code": "H17-240102-0001", "excluded": True, "reason": REASON, "name": BY} | change
    with pytest.raises(ConfigurationError, match=problem):
        storage.service.change(wanted.pop("code"), **wanted)
    assert not storage.exclusions.exclusions.get("H17-240102-0001")


def test_an_excluded_dossier_is_explained_and_found(storage):
    """The command shows the decisions and that nothing counts; the finding is listed with the code, without a day."""
    dossier, other = a_dossier(4, 9), a_dossier(4)
    code = dossier[0].dossier_code
    storage.take([*dossier, *other])
    morning, later = (Place("H17", civil_day(message.occurred_at)) for message in dossier)
    assert storage.kinds() == {("first_seen_late", morning)}
    storage.exclude(code)
    found = storage.explanations.explain(code)
    assert [(decision["excluded"], decision["reason"], decision["name"]) for decision in found["decisions"]] == [
        (True, REASON, BY)
    ]
    assert [(message["counts_as"], message["why"]) for message in found["messages"]] == [([], "The dossier is excluded.")] * 2
    assert found["findings"] == [{"kind": "excluded"}]
    assert "milestones" not in found
    assert storage.kinds() == {("first_seen_late", morning), ("excluded", Place(None, None))}
    examples = found_in_all(FindingService(storage.finding_reader, REGISTRY), ALWAYS).examples[FindingKind.EXCLUDED]
    assert [example.code for example in examples] == [code]
    for day, number in ((later.day, 1), (later.day + DAY, 0)):
        scope = FindingScope(Period(day, day), ("H17",))
        dossiers = found_in_all(FindingService(storage.finding_reader, REGISTRY), scope).dossiers
        assert dossiers.get((Place(None, None), FindingKind.EXCLUDED), 0) == number
    storage.include(code)
    assert storage.kinds() == {("first_seen_late", morning)}
    assert set(storage.explanations.explain(code)["milestones"]) >= {"submitted", "settled"}
    assert storage.explanations.explain("H17-240102-9999999") is None


def test_every_excluded_dossier_is_listed(storage):
    """Of other kinds a few examples are named; excluded dossiers are all listed, over all shards."""
    dossiers = [a_dossier(1, 9) for _ in range(12)]
    storage.take([message for dossier in dossiers for message in dossier])
    for dossier in dossiers:
        storage.exclude(dossier[0].dossier_code)
    found = found_in_all(FindingService(storage.finding_reader, REGISTRY, shard_messages=3), ALWAYS)
    assert {example.code for example in found.examples[FindingKind.EXCLUDED]} == {dossier[0].dossier_code for dossier in dossiers}
    assert found.dossiers == {(Place(None, None), FindingKind.EXCLUDED): 12}


def test_a_report_lists_the_excluded_dossiers_that_would_have_changed_it(storage):
    """Those with a milestone in its period, with what they would count as; none that counts, or without messages."""
    settled, refused, included, counted = (a_dossier(*statuses) for statuses in ((1, 2, 9), (2, 3), (1, 9), (1, 9)))
    codes = [dossier[0].dossier_code for dossier in (settled, refused, included, counted)]
    storage.take([*settled, *refused, *included, *counted])
    for code in (*codes[:3], "H17.1-240102-999999"):
        storage.exclude(code)
    storage.include(codes[2])
    first, last = civil_day(MORNING), civil_day(MORNING + 20 * HOUR)
    assert last == first + DAY
    listed = ExcludedDossiers(storage.exclusions, storage.reader)
    found = listed.within(Period(first, first))
    assert [dossier["dossier_code"] for dossier in found] == codes[:2]
    assert (found[0]["reason"], found[0]["name"], found[0]["decided_at"][-6:]) == (REASON, BY, "+07:00")
    place = {"day": str(first), "unit": "H17", "procedure": settled[0].procedure_code}
    names = [["submitted"], ["submitted", "refused", "given_back"]]
    assert [dossier["milestones"] for dossier in found] == [[{"name": name, **place} for name in each] for each in names]
    (found,) = listed.within(Period(last, last))
    assert (found["dossier_code"], [each["name"] for each in found["milestones"]]) == (codes[0], ["settled"])
    assert listed.within(Period(first - DAY, first - DAY)) == []


def test_a_long_dossier_among_others_is_read_as_a_whole(clickhouse, monkeypatch):
    """A dossier with more messages than are read at once is read alone, and nothing of it is missing."""
    monkeypatch.setattr(dossier_reader, "_READ_AT_ONCE", 3)
    destination, reader = Destination(clickhouse), storage_of(clickhouse).dossier_reader()
    dossiers = [a_dossier(*range(1, length + 1)) for length in (2, 3, 4)]
    destination.take([message for dossier in dossiers for message in dossier], recount=False)
    found = reader.messages_of([dossier[0].dossier_code for dossier in dossiers] + ["H17.1-240102-999998"])
    assert {code: len(messages) for code, messages in found.items()} == {
        dossier[0].dossier_code: len(dossier) for dossier in dossiers
    }
    assert {code: set(messages) for code, messages in found.items()} == {code: set(reader.messages(code)) for code in found}


def test_what_the_command_puts_together_excludes_a_dossier(clickhouse):
    """The service that the command and the process use recounts what a decision changes, and raises no epoch."""
    storage, messages = in_clickhouse(clickhouse), [*a_dossier(1, 2, 9), *other_dossiers()]
    storage.take(messages)
    service = exclusion_service(load_settings(), storage_of(clickhouse))
    service.change(messages[0].dossier_code, excluded=True, reason=REASON, name=BY)
    assert storage.is_right(messages)
    assert dossier_service(load_settings(), storage_of(clickhouse)).explain(messages[0].dossier_code)["findings"] == [
        {"kind": "excluded"}
    ]
    service.change(messages[0].dossier_code, excluded=False, name=BY)
    assert storage.is_right(messages)
    assert clickhouse.rows("test", "SELECT count() FROM tally_epochs") == [(0,)]


# ---- the audit, which only ClickHouse has

PLAIN, TWICE, REFUSED = (a_dossier(*statuses) for statuses in ((1, 2, 4, 9), (1, 2, 9, 9), (1, 3)))
CODES = [messages[0].dossier_code for messages in (PLAIN, TWICE, REFUSED)]
MESSAGES = [*PLAIN, *TWICE, *REFUSED]


def _of(code):
    return f"dossier = (SELECT any(dossier) FROM dossier_exclusions WHERE dossier_code = '{code}')"


DECISION_ROWS = "bitAnd(facts, 15) = 0"
DAMAGES = {
    "a decision is not in the index": (
        lambda at: at.delete("dossier_index", f"{DECISION_ROWS} AND {_of(CODES[0])}"),
        {DossierFault.UNINDEXED: 1},
    ),
    "no decision is in the index": (
        lambda at: at.delete("dossier_index", DECISION_ROWS),
        {DossierFault.UNINDEXED: 4},
    ),
    "the index is empty": (
        lambda at: at.clickhouse.command("test", "TRUNCATE TABLE dossier_index"),
        {DossierFault.UNINDEXED: len(MESSAGES) + 4},
    ),
    "the corrections are gone": (
        lambda at: at.clickhouse.command("test", "TRUNCATE TABLE dossier_corrections"),
        {DossierFault.MISSING: ...},
    ),
    "a decision is in the index alone": (
        lambda at: at.delete("dossier_exclusions", f"dossier_code = '{CODES[0]}'"),
        {DossierFault.ORPHANED: 1, DossierFault.WRONG: ..., DossierFault.SURPLUS: ...},
    ),
}


@mainly_served
@pytest.mark.parametrize(("damage", "faults"), cases(DAMAGES, fast=("a decision is not in the index",)))
def test_an_exclusion_survives_a_repair(clickhouse, damage, faults):
    """An excluded dossier is never wrong by itself; a damage of its index rows is found, and a repair leaves what was decided."""
    destination, storage = Destination(clickhouse), in_clickhouse(clickhouse)
    storage.take(MESSAGES)
    storage.exclude(CODES[0])
    storage.exclude(CODES[1])
    storage.include(CODES[1])
    storage.exclude(CODES[2])
    assert destination.faults() == {}
    assert destination.audit().clean
    assert destination.check().messages == len(MESSAGES)
    damage(destination)
    found = destination.faults()
    assert found == {fault: found.get(fault) if count is ... else count for fault, count in faults.items() if fault in found}
    assert found
    assert destination.audit(repair=True).clean
    assert destination.faults() == {}
    assert storage.is_right(MESSAGES)
    later = a_dossier(9, 9, code=CODES[2], occurred_at=MORNING + 4 * DAY)
    storage.take(later, offset=60)
    assert storage.is_right([*MESSAGES, *later])
    storage.include(CODES[2])
    assert storage.is_right([*MESSAGES, *later])
    assert destination.audit().clean


def test_a_decision_that_waits_survives_a_repair(clickhouse):
    """A dossier that was excluded before its first message is still excluded after its index row was lost and repaired."""
    destination, storage = Destination(clickhouse), in_clickhouse(clickhouse)
    usual = a_dossier(2, 4, 9, channel=1)
    code = usual[0].dossier_code
    storage.exclude(code)
    assert destination.audit().clean
    destination.clickhouse.command("test", "TRUNCATE TABLE dossier_index")
    assert destination.faults() == {DossierFault.UNINDEXED: 1}
    (example,) = destination.check().examples
    assert example.message.dossier_code == code
    assert destination.audit(repair=True).clean
    for number, message in enumerate(usual):
        storage.take([message], offset=number)
        assert storage.is_right(usual[: number + 1])


@mainly_served
def test_a_decision_that_was_just_made_is_in_hand(clickhouse):
    """A command that is still at work is not reported until the settling time is over."""
    destination, storage = Destination(clickhouse), in_clickhouse(clickhouse)
    storage.take(MESSAGES)
    next(storage.service.steps(CODES[0], excluded=True, reason=REASON, name=BY))
    hour = destination.service.dossiers(DossierSelection(HashShard(0, 1)), settle=3600)
    assert hour.total == 0
    assert destination.faults()
    destination.audit(repair=True)
    assert storage.is_right(MESSAGES), "a repair completes the command, too"


@pytest.mark.long
@mainly_served
@pytest.mark.parametrize("seed", seeds(400, count=6, fast={403}))
def test_a_repair_beside_writers_and_operators(clickhouse, seed):
    """Repairs that delete and index any dossiers again while workers and operators write lose no decision."""
    destination, model = Destination(clickhouse), Model(clickhouse, deciding=True)
    run_beside_repairs(destination, model, seed)
    storage_of(clickhouse).repair().raise_epoch("test")
    destination.recount()
    assert destination.faults() == {}
    assert destination.is_right(list(model.numbers), model.decisions)
