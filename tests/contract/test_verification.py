"""Recomputing a report from the stored messages, on every implementation: equal when the tallies are right, and only then."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.agencies import AgencyRegistry
from domain.balance import Balance, balance
from domain.catalogue import Catalogue, CatalogueEntry
from domain.dossier_milestones import milestones_of
from domain.dossiers import MAX_EVENTS, judge
from domain.events import ServiceLevel
from domain.figure_group import Grouping
from domain.indicators import ReturnAtCounter
from domain.periods import Period, civil_day
from domain.working_days import WorkingDays
from pipeline.report.group_figures import FigureSources
from pipeline.report.request import read_request
from pipeline.report.verification.differences import differences, integers_of
from pipeline.report.verification.recomputed import Recomputed
from pipeline.report.verification.service import VerificationService, VerificationSources
from sinks.contract.audit import HashShard
from sinks.contract.dossier_table import rows_of as dossier_rows
from tests.budget import examples
from tests.cases import dossiers as dossiers_of_case
from tests.contract.clustered import storage_of
from tests.contract.test_exclusions import in_clickhouse, in_memory
from tests.contract.test_findings import NEARLY_USUAL, SENT_AGAIN
from tests.factories import MORNING, an_event, rows_of
from tests.fakes import MemoryDossierFigures, MemoryRawMessages
from tests.reports import LATER, report_of

REGISTRY = AgencyRegistry.packaged()
DAY = dt.timedelta(days=1)
TODAY = civil_day(MORNING)
_codes = itertools.count(1)


@dataclass
class Reported:
    """A storage with the writers of a worker, the figures of its tallies, and its stored messages."""

    storage: object
    tallies: object
    raw: object
    figures: object
    catalogue: tuple[CatalogueEntry, ...] = ()
    at_counter: ReturnAtCounter = ReturnAtCounter.EXCLUDED
    shard_messages: int = 5
    today: dt.date = LATER

    def service(self, **options) -> VerificationService:
        circumstances = {"working_days": WorkingDays(), "accepted_late_from": MORNING.date() - 20 * DAY}
        excluded = self.storage.exclusions.excluded
        sources = VerificationSources(excluded, lambda _: self.catalogue, self.at_counter, **circumstances)
        return VerificationService(self.raw, sources, **options)

    def report(self, **asked):
        """The rows of the report of the tallies."""
        more = {"catalogue": Catalogue(self.catalogue), "at_counter": self.at_counter}
        sources = FigureSources(self.figures, WorkingDays(), MORNING.date() - 20 * DAY)
        found = report_of(self.tallies, registry=REGISTRY, sources=sources, today=self.today, **more, **asked).as_dict()
        return [*found["rows"], *found["parts"]]

    def recomputed(self, service=None, **asked):
        """The rows that the messages give, recomputed in several shards that are sent as JSON."""
        service = service or self.service(shard_messages=self.shard_messages)
        request = read_request({name.rstrip("_"): text for name, text in asked.items()}, registry=REGISTRY, today=LATER)
        count, total = service.shards(request), Recomputed.nothing(1 + (request.compared is not None))
        for number in range(count):
            part = service.recomputed(request, HashShard(number, count), today=self.today)
            total.add(Recomputed.from_dict(part.as_dict()))
        return service.rows(request, total, today=LATER)

    def differing(self, **asked):
        """What a verification finds: (code, figure) -> reported and recomputed."""
        due = integers_of(self.report(**asked))
        found = differences(due, due, integers_of(self.recomputed(**asked)), counted=True)
        assert not any(each.moved for each in found)
        return {(each.code, each.figure): (each.reported, each.recomputed) for each in found}


class JudgedWhenAsked:
    """A ``DossierFigureReader`` whose table has every stored dossier when it is asked for."""

    def __init__(self, clickhouse, exclusions):
        self.clickhouse, self.exclusions, self.known = clickhouse, exclusions, None

    def counts(self, group, question):
        stored = self.clickhouse.rows("test", "SELECT dossier_code, count() FROM dossier_messages GROUP BY dossier_code")
        excluded = self.exclusions.excluded()
        if self.known != (known := (sorted(stored), excluded)):
            self.known = known
            self.judge([code for code, _ in stored], excluded)
        return storage_of(self.clickhouse).dossier_figures().counts(group, question)

    def judge(self, codes, excluded):
        rows = {}
        for number, (code, messages) in enumerate(storage_of(self.clickhouse).dossier_reader().messages_of(codes).items()):
            decisions = [excluded[code]] if code in excluded else []
            rows[number.to_bytes(16, "little")] = milestones_of(judge(messages, decisions), seen=1)
        self.clickhouse.command("test", "TRUNCATE TABLE dossiers")
        if rows:
            storage_of(self.clickhouse).dossier_table().write(dossier_rows(rows, judged_at=MORNING))


@pytest.fixture(
    params=[
        "memory",
        pytest.param("embedded", marks=(pytest.mark.integration, pytest.mark.long)),
        pytest.param("served", marks=pytest.mark.integration),
    ]
)
def reported(request):
    """Each implementation in turn, empty."""
    if request.param == "memory":
        storage = in_memory()
        return Reported(storage, storage.store, MemoryRawMessages(storage.store), MemoryDossierFigures(storage.store))
    clickhouse = request.getfixturevalue(request.param)
    storage, raw = in_clickhouse(clickhouse), storage_of(clickhouse).raw_messages()
    return Reported(storage, storage_of(clickhouse).tallies(), raw, JudgedWhenAsked(clickhouse, storage.exclusions))


def in_the_fast_run(one: str) -> pytest.MarkDecorator:
    """For a test that takes long: the fast run has it with one of the implementations."""
    real = {"memory": (), "embedded": (pytest.mark.integration,), "served": (pytest.mark.integration,)}
    every = [pytest.param(name, marks=(*marks, *(() if name == one else (pytest.mark.long,)))) for name, marks in real.items()]
    return pytest.mark.parametrize("reported", every, indirect=True)


def a_code() -> str:
    """The code of a dossier that no other test has."""
    return f"H17-240102-{next(_codes):06d}"


def course(*statuses, start=MORNING, **fields):
    """The events of one dossier, a day apart."""
    code = fields.pop("dossier_code", None) or a_code()
    return [
        an_event(**{"dossier_code": code, "status": status, "occurred_at": start + place * DAY, "named_by_code": True} | fields)
        for place, status in enumerate(statuses)
    ]


WEEK = {"from_": str(TODAY - DAY), "to": str(TODAY + 6 * DAY)}
#: Events of a dossier lie days apart, so that some milestones are outside of the period.
SPREAD = st.integers(0, 6)


@given(
    st.lists(st.tuples(st.one_of(NEARLY_USUAL, SENT_AGAIN), SPREAD), min_size=1, max_size=25),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.sampled_from(Grouping)),
)
@settings(max_examples=examples(10, fast=4), suppress_health_check=list(HealthCheck))
def test_a_right_report_is_what_its_messages_say(reported, drawn, asked):
    """Whatever portals send: no figure of any group of a right report differs, however it is divided, with either I1."""
    counted, compared, over, by = asked
    reported.at_counter = ReturnAtCounter.COUNTED if counted else ReturnAtCounter.EXCLUDED
    reported.today = LATER if over else TODAY + 2 * DAY
    reported.catalogue = (CatalogueEntry("H17", "1.1", dt.date(2020, 1, 1), longest_days=2),)
    for fields, spread in drawn:
        code = a_code()
        times = [MORNING + (each["occurred_at"] - MORNING) * (1 + spread * 17_000) for each in fields]
        returns = ("counter", "", "online")
        reported.storage.take(
            [
                an_event(
                    **each
                    | {"dossier_code": code, "occurred_at": at, "returned_by": returns[number % 3]}
                    | {"due_at": MORNING + spread * DAY if number % 3 else None, "legacy_level": number % 5}
                )
                for number, (each, at) in enumerate(zip(fields, times, strict=True))
            ]
        )
    asked = {**WEEK, "figures": "all", "by": by.value} | ({"compare": "previous"} if compared else {})
    assert reported.differing(**asked) == {}


@in_the_fast_run("memory")
def test_recorded_feeds_are_recomputed(reported):
    """The recorded dossiers with one trap each count as their tallies say."""
    for messages in dossiers_of_case("25_nasty_dossiers.ndjson.gz", REGISTRY).values():
        reported.storage.take(messages)
    rows = {row["code"]: row["counts"] for row in reported.recomputed(year="2025", compare="last-year")}
    assert rows["H62"]["submitted"] > 5
    assert reported.differing(year="2025", compare="last-year") == {}
    assert reported.differing(month="2025-06", units="2025-07-01") == {}


def test_a_wrong_tally_is_found(reported):
    """The wrong figure of the unit, and those of its block and the nation, with what they are and what they should be."""
    right = course(1, 2, 9)
    reported.storage.take(right)
    lost = course(1, 9)
    # Stored, and then the worker died: neither resolved nor recounted.
    reported.storage.take([*lost, *course(9, start=MORNING + 30 * DAY)])
    assert reported.differing(**WEEK) == {}
    kept = reported.tallies.counts_of_days
    wrong = {"H17": replace(kept(TODAY - DAY, TODAY + 6 * DAY)["H17"], settled=5)}
    reported.tallies.counts_of_days = lambda *_: wrong
    found = reported.differing(**WEEK)
    assert found == {
        (code, figure): (5, 2) for code in ("H17", "province", "VN") for figure in ("counts.settled", "indicators.I1.denominator")
    }


def test_messages_that_no_tally_counts_are_found(reported):
    """Messages that are stored and were never resolved or counted: what is recomputed needs no index."""
    reported.storage.take(course(1, 9))
    reported.storage.store.insert_events(rows_of(course(1, 9, agency="G01"), offset=500))
    found = reported.differing(**WEEK)
    assert found["G01", "counts.events"] == (0, 2)
    assert found["VN", "counts.settled"] == (1, 2)
    assert not any(code in ("H17", "province") for code, _ in found)


@in_the_fast_run("served")
def test_excluded_dossiers_and_codes_with_too_many_events_count_as_events_alone(reported):
    """They obey the rules of every figure; included again, a dossier counts."""
    reported.shard_messages = MAX_EVENTS // 2
    gone, many = course(1, 9), a_code()
    reported.storage.take([*gone, *course(1, 9)])
    reported.storage.take(
        [an_event(dossier_code=many, status=1, occurred_at=MORNING + number * DAY / 86_400) for number in range(MAX_EVENTS + 1)]
    )
    reported.storage.exclude(gone[0].dossier_code)
    counts = {row["code"]: row["counts"] for row in reported.recomputed(**WEEK)}["H17"]
    assert (counts["events"], counts["submitted"], counts["settled"]) == (MAX_EVENTS + 1 + 4, 1, 1)
    assert reported.differing(**WEEK) == {}
    reported.storage.include(gone[0].dossier_code)
    counts = {row["code"]: row["counts"] for row in reported.recomputed(**WEEK)}["H17"]
    assert (counts["submitted"], counts["settled"]) == (2, 2)
    assert reported.differing(**WEEK) == {}


def test_what_is_offered_is_recomputed(reported):
    """The services with dossiers come from the messages as well."""
    begin = dt.date(2020, 1, 1)
    reported.catalogue = tuple(
        CatalogueEntry(agency, procedure, begin, service_level=ServiceLevel.FULL)
        for agency in ("H17", "G01")
        for procedure in ("1", "2")
    )
    reported.storage.take([*course(1, 9, procedure_code="1"), *course(1, procedure_code="2", channel=1)])
    rows = {row["code"]: row["indicators"] for row in reported.recomputed(**WEEK)}
    assert (rows["H17"]["I4"]["numerator"], rows["H17"]["I4"]["denominator"]) == (1, 2)
    assert rows["H17"]["I2b"]["denominator"] == 2
    assert reported.differing(**WEEK) == {}


def test_the_balance_of_whole_dossiers(reported):
    """Whole dossiers are judged, also those that came long before the period: the balance is that of the domain."""
    sent = [course(1, start=MORNING - 90 * DAY), course(1, 9, start=MORNING - 10 * DAY), course(1, 9), course(1, 3), course(9)]
    sent.append(course(1, start=MORNING - 40 * DAY, agency="G01"))
    for messages in sent:
        reported.storage.take(messages)
    asked = {**WEEK, "compare": "previous", "figures": "balance"}
    found = {row["code"]: row["figures"]["balance"] for row in reported.recomputed(**asked)}
    for period, figures in (
        (Period(TODAY - DAY, TODAY + 6 * DAY), found["VN"]["counts"]),
        (Period(TODAY - 9 * DAY, TODAY - 2 * DAY), found["VN"]["before"]["counts"]),
    ):
        due = Counter()
        for messages in sent:
            each = balance(judge(messages), period)
            due.update({name: getattr(each, name) for name in (*Balance.__slots__, "in_hand")})
        assert figures == dict(+due)
    assert found["VN"]["counts"]["carried_over"] == 2
    assert found["ministry"]["counts"] == {"carried_over": 1, "in_hand": 1, "open": 1}
    assert reported.differing(**asked) == {}


def test_days_that_no_table_holds(reported):
    """A period may have any days; those before and after the tables hold nothing."""
    reported.storage.take(course(1, 9))
    assert reported.differing(from_="1900-01-01", to="2299-12-31") == {}
    assert reported.differing(from_="2016-04-01", to="9999-12-31") == {}


def test_a_period_of_few_messages_reads_whole_dossiers(reported):
    """A day has the milestones of dossiers that began long before it, judged with all their messages."""
    code = a_code()
    reported.storage.take(course(9, dossier_code=code, start=MORNING - 50 * DAY, event_id=uuid.uuid4()))
    reported.storage.take(course(9, dossier_code=code, start=MORNING, event_id=uuid.uuid4()))
    rows = {row["code"]: row["counts"] for row in reported.recomputed(day=str(TODAY))}
    assert (rows["H17"]["events"], rows["H17"]["settled"], rows["H17"]["submitted"]) == (1, 0, 0)
    assert reported.differing(day=str(TODAY)) == {}
