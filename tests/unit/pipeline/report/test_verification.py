"""Verifying a report: what is asked of a process, what counts as a difference, and what a user sees."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import os
import random
import subprocess
import sys
import uuid

import httpx
import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from deploy.native.programs import PROJECT
from domain.clock import ManualClock
from domain.dossiers import MAX_EVENTS, TooManyEvents, judge
from domain.periods import Period, civil_day
from pipeline.cli.remote import Process
from pipeline.cli.remote_report import fetch_report
from pipeline.cli.report_verification import verified
from pipeline.report import completeness
from pipeline.report.completeness import TopicOffsets
from pipeline.report.verification import stored_dossiers as reading
from pipeline.report.verification.differences import Difference, differences, integers_of
from pipeline.report.verification.stored_dossiers import stored_dossiers
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.contract.audit import HashShard
from tests.contract.test_exclusions import in_memory
from tests.factories import an_event, rows_of
from tests.fakes import MemoryRawMessages, MemoryStore
from tests.reports import ALL_COUNTED, report_route, verification_route

EVENTS = dt.datetime(2024, 8, 20, 8, tzinfo=dt.UTC)
NOW = EVENTS + dt.timedelta(days=1)
DAY = civil_day(EVENTS)
PARAMETERS = {"day": DAY.isoformat(), "compare": "previous", "units": "event", "min_volume": "1"}


def filled():
    """A store with seven settled dossiers of two agencies."""
    storage = in_memory()
    storage.take([an_event(occurred_at=EVENTS, agency=agency) for agency in ("H17", "G01", "H17", "H17", "G01", "H17", "H17")])
    return storage.store


def miscounted(store):
    """Let the tally of H17 have one settled dossier too many."""
    tally = store.days["H17", DAY]
    counts = dataclasses.replace(tally.counts, settled=tally.counts.settled + 1)
    store.days["H17", DAY] = dataclasses.replace(tally, counts=counts)


@pytest.fixture
async def serve(registry):
    """Start a process over a store; returns its address."""
    servers = []

    async def start(store, *, offsets=lambda: ALL_COUNTED):
        api = Api(
            registry=CollectorRegistry(),
            agencies=registry,
            clock=ManualClock(NOW),
            health=lambda: Health(healthy=True, ready=True),
            reader=store,
            routes=(
                report_route(store, registry, NOW, offsets=offsets),
                verification_route(store, registry, NOW),
            ),
        )
        servers.append(HttpServer(api, HttpSettings(port=0)))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.close()


async def verdict_of(address, *, meanwhile=lambda: None):
    """The verdict about a report; ``meanwhile`` is called after the report and before it is recomputed."""
    process = Process(address)

    def ask():
        report = fetch_report(process, PARAMETERS)
        meanwhile()
        return verified(process, PARAMETERS, report, wait=False)

    return await asyncio.to_thread(ask)


async def test_a_right_report_is_equal(serve):
    """Every integer of every row of both periods was compared, and what was read is named."""
    verdict = await verdict_of(await serve(filled()))
    assert (verdict.wrong, verdict.moved) == ((), ())
    assert (verdict.dossiers, verdict.messages) == (7, 14)  # the double gives out each message twice
    assert verdict.figures == (86 + 3) * (10 + 2 * 2 * 2)  # counts; two numbers of two indicators, now and before
    assert (verdict.first, verdict.last) == ("2024-08-19", "2024-08-20")


async def test_a_wrong_figure_is_named(serve):
    """The figure of the unit, of its block and of the nation: what the report says, and what the messages say."""
    store = filled()
    miscounted(store)
    verdict = await verdict_of(await serve(store))
    assert verdict.moved == ()
    assert {each for each in verdict.wrong if each.scope == "agency"} == {
        Difference("agency", "H17", "counts.settled", 6, 5, moved=False),
        Difference("agency", "H17", "indicators.I1.denominator", 6, 5, moved=False),
    }
    assert {(each.code, each.reported, each.recomputed) for each in verdict.wrong if each.scope == "nation"} == {("VN", 8, 7)}


async def test_figures_that_move_are_not_called_wrong(serve, monkeypatch):
    """Messages that come while figures are recomputed, or that are not counted yet, are not faults: nothing is known of them."""
    store = filled()
    verdict = await verdict_of(await serve(store), meanwhile=lambda: miscounted(store))
    assert (verdict.wrong, verdict.moved) == ((), ())  # the first report was right
    verdict = await verdict_of(await serve(store), meanwhile=lambda: miscounted(store))
    assert verdict.wrong == ()
    assert {each.code for each in verdict.moved} == {"H17", "province", "VN"}
    store = filled()
    miscounted(store)
    monkeypatch.setattr(completeness, "WAIT_SECONDS", 0.0)  # else each of the two reports waits for what never comes
    verdict = await verdict_of(await serve(store, offsets=lambda: TopicOffsets({0: 9}, {0: 7})))
    assert verdict.wrong == ()
    assert {each.code for each in verdict.moved} == {"H17", "province", "VN"}


@pytest.mark.parametrize(
    ("fault", "more", "expected"),
    [
        (lambda _: None, (), (0, "Verified: all")),
        (miscounted, (), (1, "portalpulse audit --from 2024-08-20 --to 2024-08-20 --repair")),
        (miscounted, ("--partial", "--format", "csv"), (1, "counts.settled")),
    ],
)
async def test_the_command_says_what_is_wrong_and_what_to_do(serve, tmp_path, fault, more, expected):
    """Equal is status 0; a wrong figure is status 1 with a table and the command that corrects it, beside figures of a file."""
    store, (status, words) = filled(), expected
    fault(store)
    address = await serve(store)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PORTALPULSE_")}
    environment |= {
        "PORTALPULSE_HTTP__PORT": address.rpartition(":")[2],
        "PORTALPULSE_CLOCK": NOW.isoformat(),
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-m", "pipeline.cli", "report", "--day", DAY.isoformat(), "--verify", *more]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == status, ended.stderr
    assert words in (ended.stderr if more else ended.stdout)
    assert "Đà Nẵng" in ended.stdout
    if more:
        assert "counts.settled" not in ended.stdout


@pytest.mark.parametrize(
    "query", ["", "day=2024-08-20", "day=2024-08-20&number=1&of=1", "day=2024-08-20&number=0&of=x", "number=0&of=1"]
)
async def test_a_wrong_question_is_refused(serve, query):
    """One sentence that says what is wrong."""
    async with httpx.AsyncClient(base_url=await serve(filled()), trust_env=False) as client:
        answer = await client.get(f"/api/v1/report/verification?{query}")
        assert (answer.status_code, answer.json()["error"].endswith(".")) == (400, True)


@pytest.mark.parametrize("periods", [[], [{}], [{"figures": [], "submitted": {}, "submitted_online": {}}] * 2, "x", [5]])
async def test_figures_of_something_else_are_refused(serve, periods):
    """A sum that does not belong to the periods that are asked for."""
    async with httpx.AsyncClient(base_url=await serve(filled()), trust_env=False) as client:
        fields = {"dossiers": 1, "messages": 1, "periods": periods}
        answer = await client.post("/api/v1/report/verification?day=2024-08-20", json=fields)
        assert (answer.status_code, answer.json()["error"].endswith(".")) == (400, True)


def test_only_integers_are_compared_and_ranks_follow():
    """Text, null and truth values are not figures; a row that is missing has zeros; equal to one of both reports is right."""
    row = {
        "scope": "agency",
        "code": "H17",
        "name": "x",
        "counts": {"settled": 3},
        "indicators": {"I1": {"rank": 1, "percent": "5"}},
    }
    assert integers_of([row | {"is": True, "none": None}]) == {("agency", "H17", "counts.settled"): 3}
    one, two, three = ({("agency", "H17", "a"): number} for number in (1, 2, 3))
    assert differences(one, two, one, counted=True) == differences(one, two, two, counted=True) == []
    assert differences(one, one, three, counted=True) == [Difference("agency", "H17", "a", 1, 3, moved=False)]
    assert differences(one, two, three, counted=True) == [Difference("agency", "H17", "a", 2, 3, moved=True)]
    assert differences(one, one, three, counted=False) == [Difference("agency", "H17", "a", 1, 3, moved=True)]
    assert differences(one, one, {}, counted=True) == [Difference("agency", "H17", "a", 1, 0, moved=False)]


ONE_DAY = (Period(DAY, DAY),)


def read(events, *, size=7, periods=ONE_DAY):
    """Dossiers from messages, read in batches."""
    store = MemoryStore()
    store.insert_events(rows_of(events))
    table = pa.Table.from_batches(MemoryRawMessages(store).by_dossier(periods, HashShard(0, 1)))
    return list(stored_dossiers(table.to_batches(max_chunksize=size), periods))


def test_messages_come_back_as_they_were_sent():
    """Every field, whatever the batches, and the distinct events of each period and unit."""
    other = {"due_at": NOW, "returned_by": "post", "legacy_level": 4, "channel": 1, "service_level": "mot_phan", "agency": "G01"}
    events = [
        an_event(dossier_code="H17-240102-0001", occurred_at=EVENTS),
        an_event(dossier_code="H17-240102-0001", occurred_at=EVENTS - dt.timedelta(days=3), named_by_code=False, **other),
        an_event(dossier_code="H17-240102-0002", occurred_at=EVENTS, event_id=uuid.UUID(int=(1 << 127) + 5)),
    ]
    for size in (1, 2, 100):
        one, two = read(events, size=size)
        assert (one.code, two.code) == ("H17-240102-0001", "H17-240102-0002")
        assert set(one.messages) == set(events[:2])
        assert set(two.messages) == {events[2]}
        assert (one.events, two.events, one.rows) == ({(0, "H17"): 1}, {(0, "H17"): 1}, 4)
    wide = Period(dt.date(1, 1, 1), dt.date(9999, 12, 31))
    one, _ = read(events, periods=(wide, Period(DAY, DAY)))
    assert one.events == {(0, "H17"): 1, (0, "G01"): 1, (1, "H17"): 1}


def test_of_a_dossier_that_is_sent_without_end_few_messages_are_kept(monkeypatch):
    """The memory for one dossier does not grow with its messages, and it is judged as with all of them."""
    monkeypatch.setattr(reading, "_MAX_MESSAGES", 10)
    random.seed(5)
    events = [
        an_event(
            dossier_code="H17-240102-0001", event_id=uuid.UUID(int=number % 9), status=1 + number % 9,
            occurred_at=EVENTS + random.randrange(60) * dt.timedelta(seconds=1),
        )
        for number in range(400)
    ]  # fmt: skip
    [stored] = read(events)
    assert len(stored.messages) <= 9 + 10
    assert judge(stored.messages) == judge(events)
    assert stored.rows == 2 * len(set(events))


def test_of_a_code_with_too_many_events_enough_are_kept_to_know(monkeypatch):
    """Too many remain too many, whatever follows; every event is counted."""
    monkeypatch.setattr(reading, "_MAX_MESSAGES", 10)
    monkeypatch.setattr(reading, "MAX_EVENTS", 3)
    events = [an_event(dossier_code="H17-240102-0001", occurred_at=EVENTS) for _ in range(100)]
    [stored] = read(events)
    assert len(stored.messages) <= 4 + 10
    assert len({message.event_id for message in stored.messages}) > 3
    assert stored.events == {(0, "H17"): 100}
    assert MAX_EVENTS > 3
    assert not isinstance(judge(stored.messages), TooManyEvents)
