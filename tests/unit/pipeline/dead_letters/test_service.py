"""Operations on dead letters: what is sent again, what is marked, what is answered."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from dataclasses import replace
from functools import partial

import httpx
import pytest
from prometheus_client import CollectorRegistry

from domain.clock import ManualClock
from domain.errors import ConfigurationError, UnavailableError
from domain.events import DossierEvent
from pipeline.dead_letters.message import message_of, shown
from pipeline.dead_letters.routes import dead_letter_routes
from pipeline.dead_letters.service import DeadLetterService, filter_fields, parse_filter
from pipeline.decode.validator import EventValidator
from pipeline.ingest.dead_letter_rows import dead_letter_of_row
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.contract.dead_letters import DeadLetter, DeadLetterCheckpoint, DeadLetterEntry, DeadLetterFilter, Kept
from tests.factories import LATEST, TOPIC, a_message, an_event, rows_of
from tests.fakes import MemoryStore

SEEN = LATEST - dt.timedelta(days=1)


class MemoryDeadLetters:
    """A ``DeadLetterStore`` in memory."""

    def __init__(self, *dead_letters, seen=SEEN, now=LATEST):
        self.now = lambda: now
        self.kept = {
            (dead_letter.topic, dead_letter.partition, dead_letter.offset): (dead_letter, seen) for dead_letter in dead_letters
        }
        self.replayed = []

    def _selected(self, criteria, after=None):
        for position in sorted(self.kept):
            dead_letter, seen = self.kept[position]
            if after is not None and position <= after:
                continue
            if criteria.reasons and dead_letter.reason not in criteria.reasons:
                continue
            if criteria.until is not None and seen >= criteria.until:
                continue
            if not criteria.replayed and position in self.replayed:
                continue
            yield dead_letter

    def counts(self, criteria):
        found = [dead_letter.reason for dead_letter in self._selected(criteria)]
        return {reason: found.count(reason) for reason in found}

    def dead_letters(self, criteria, *, limit, after=None):
        return list(self._selected(criteria, after))[:limit]

    def entries(self, criteria, *, limit, after=None):
        return [self._entry(dead_letter) for dead_letter in self.dead_letters(criteria, limit=limit, after=after)]

    def find(self, position):
        return [(self.kept[position][0], self._entry(self.kept[position][0]))] if position in self.kept else []

    def latest_offset(self, topic, partition):
        return max((offset for *where, offset in self.kept if where == [topic, partition]), default=-1)

    def mark_replayed(self, dead_letters):
        self.replayed += [(dead_letter.topic, dead_letter.partition, dead_letter.offset) for dead_letter in dead_letters]

    def drop(self, criteria):
        gone = list(self._selected(criteria))
        for dead_letter in gone:
            del self.kept[dead_letter.topic, dead_letter.partition, dead_letter.offset]
        return len(gone)

    @staticmethod
    def _entry(dead_letter):
        size = len(dead_letter.value or b"")
        return DeadLetterEntry(
            dead_letter.topic, dead_letter.partition, dead_letter.offset, dead_letter.reason, dead_letter.error, SEEN, size, None
        )


class Outbox:
    """Keeps what is sent; may refuse, or answer a message with a new dead letter as a worker would."""

    def __init__(self, *, fails_at=None, bounce=None):
        self.sent, self._fails_at, self._bounce = [], fails_at, bounce

    def send(self, dead_letters, messages):
        if self._fails_at is not None and len(self.sent) >= self._fails_at:
            raise UnavailableError("Kafka is away.")
        self.sent += [
            (dead_letter.topic, dead_letter.key, message) for dead_letter, message in zip(dead_letters, messages, strict=True)
        ]
        if self._bounce is not None:
            self._bounce(dead_letters)


def a_dead_letter(offset, value=b"{", reason="not_json"):
    """A dead letter."""
    return DeadLetter(TOPIC, 0, offset, b"key-%d" % offset, value, reason, "")


@pytest.fixture
def service(registry):
    """A factory of services over a store."""

    def make(store, outbox=None, limits=None):
        return DeadLetterService(
            store,
            limits=limits,
            ends={"many": {0: 100, 1: 7}}.__getitem__,
            validator=EventValidator(registry),
            clock=ManualClock(LATEST),
            sender=lambda: outbox,
            future_tolerance=dt.timedelta(days=1),
        )

    return make


def test_every_message_that_had_an_offset_is_shown(service):
    """After a topic was recreated, the latest dead letter at an offset is shown with the earlier ones."""
    store = MemoryDeadLetters()
    kept = [a_dead_letter(1, value) for value in (b"new", b"old")]
    store.find = lambda _position: [(dead_letter, store._entry(dead_letter)) for dead_letter in kept]
    found = service(store).show((TOPIC, 0, 1))
    assert found["value"]["text"] == "new"
    assert [earlier["value"]["text"] for earlier in found["earlier"]] == ["old"]


def test_replaying_sends_raw_bytes_with_their_key_and_marks_them(service):
    """Every dead letter that was not replayed is sent to its topic once, byte by byte, and is marked."""
    store, outbox = MemoryDeadLetters(*(a_dead_letter(n, bytes([n % 256]) * 3) for n in range(450))), Outbox()
    assert service(store, outbox).replay(DeadLetterFilter()) == {"sent": 450, "removed": 0}
    assert outbox.sent == [(TOPIC, b"key-%d" % n, bytes([n % 256]) * 3) for n in range(450)]
    assert len(store.replayed) == 450
    assert service(store, outbox).replay(DeadLetterFilter()) == {"sent": 0, "removed": 0}


def test_messages_whose_bytes_were_removed(service):
    """They are not sent and not marked, a dry run and a replay say how many there are, and the page of one says when it was."""
    gone = replace(a_dead_letter(1, b""), kept=Kept.REMOVED)
    store, outbox = MemoryDeadLetters(gone, a_dead_letter(2)), Outbox()
    store.find = lambda _position: [(gone, replace(store._entry(gone), kept=Kept.REMOVED, size=None, removed_at=LATEST))]
    assert service(store).preview(DeadLetterFilter()) == {"accepted": 0, "refused": {"not_json": 1}, "removed": 1}
    assert service(store, outbox).replay(DeadLetterFilter()) == {"sent": 1, "removed": 1}
    assert [message for _, _, message in outbox.sent] == [b"{"]
    assert store.replayed == [(TOPIC, 0, 2)]
    found = service(store).show((TOPIC, 0, 1))
    assert (found["kept"], found["key"], found["value"], found["size"]) == ("removed", None, None, None)
    assert found["removed_at"] == "2026-01-01T00:00:00.000+00:00"


def test_what_kafka_did_not_take_still_waits(service):
    """A page is marked only after all of it is acknowledged: a failure leaves the rest for the next replay."""
    store = MemoryDeadLetters(*map(a_dead_letter, range(450)))
    with pytest.raises(UnavailableError):
        service(store, Outbox(fails_at=200)).replay(DeadLetterFilter())
    assert len(store.replayed) == 200
    assert service(store, Outbox()).replay(DeadLetterFilter()) == {"sent": 250, "removed": 0}


@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_messages_that_are_rejected_again_are_not_sent_in_a_loop(service, hours):
    """A message that is rejected again at once becomes a new dead letter, which this replay does not send.

    The storage's clock dates dead letters; it may be hours behind or ahead of this machine.
    """
    now = LATEST + dt.timedelta(hours=hours)
    store = MemoryDeadLetters(*map(a_dead_letter, range(3)), seen=now - dt.timedelta(minutes=1), now=now)
    rounds = itertools.count()

    def bounce(dead_letters):
        assert next(rounds) == 0, "sent in a loop"
        for dead_letter in dead_letters:
            store.kept[TOPIC, 0, dead_letter.offset + 1_000] = (
                a_dead_letter(dead_letter.offset + 1_000),
                now + dt.timedelta(seconds=1),
            )

    assert service(store, Outbox(bounce=bounce)).replay(DeadLetterFilter()) == {"sent": 3, "removed": 0}
    assert service(store).page(DeadLetterFilter(), limit=9)["counts"] == {"not_json": 3}


def test_a_dry_run_says_what_would_happen_and_does_nothing(service):
    """Each message is validated by the current rules; nothing is sent or marked."""
    store = MemoryDeadLetters(
        a_dead_letter(1, a_message(), "unknown_agency"),
        a_dead_letter(2),
        a_dead_letter(3, None, "empty"),
        a_dead_letter(4, a_message(status=99)),
    )
    assert service(store).preview(DeadLetterFilter()) == {
        "accepted": 1,
        "refused": {"empty": 1, "not_json": 1, "unknown_status": 1},
        "removed": 0,
    }
    assert store.replayed == []


def test_a_row_that_the_storage_refused_is_sent_as_the_message_it_was(registry):
    """Such a dead letter holds the row; what is sent again is an event of the contract with the same content."""
    full = an_event(legacy_level=4, returned_by="post", portal_id="p-1", occurred_at=SEEN.replace(microsecond=7000), due_at=SEEN)
    for event in (an_event(), an_event(channel=0, service_level=""), full):
        dead_letter = dead_letter_of_row(rows_of([event]), "no")
        message = message_of(dead_letter.value, dead_letter.reason)
        assert EventValidator(registry).validate(message, latest=LATEST) == event
        assert set(json.loads(message)) <= {"agency_code", *DossierEvent.__slots__} - {"agency"}
    assert message_of(b"{", "refused_by_storage") == b"{"
    assert message_of(None, "empty") is None


def test_pages(service):
    """A full page names where the next begins, the last one does not."""
    store = MemoryDeadLetters(*map(a_dead_letter, range(5)))
    page = service(store).page(DeadLetterFilter(), limit=3)
    assert [dead_letter["offset"] for dead_letter in page["letters"]] == [0, 1, 2]
    rest = service(store).page(DeadLetterFilter(), limit=3, after=tuple(page["next"]))
    assert [dead_letter["offset"] for dead_letter in rest["letters"]] == [3, 4]
    assert rest["next"] is None


def test_bytes_are_shown_without_loss():
    """UTF-8 is text, anything else hexadecimal digits, nothing is nothing."""
    assert shown("hồ sơ\x00".encode()) == {"text": "hồ sơ\x00"}
    assert shown(b"\xff\x00") == {"hex": "ff00"}
    assert shown(b"") == {"text": ""}
    assert shown(None) is None


def test_dropping_needs_a_filter(service):
    """Without criteria nothing is dropped; 'replayed' widens the selection and is not a criterion."""
    store = MemoryDeadLetters(a_dead_letter(1))
    for criteria in (DeadLetterFilter(), DeadLetterFilter(replayed=True)):
        with pytest.raises(ConfigurationError):
            service(store).drop(criteria)
    assert service(store).drop(DeadLetterFilter(reasons=("not_json",))) == {"dropped": 1}


def test_filters_survive_json():
    """What the command line asks for is what the process reads."""
    criteria = DeadLetterFilter(("empty",), (TOPIC,), SEEN, LATEST, replayed=True)
    assert parse_filter(json.loads(json.dumps(filter_fields(criteria)))) == criteria
    assert parse_filter({}) == DeadLetterFilter()


@pytest.mark.parametrize(
    "fields", [{"reason": ["no_such"]}, {"from": "2024-08-20"}, {"to": "soon"}, {"from": "2024-W33T00:00+07:00"}]
)
def test_filters_that_cannot_be_read(fields):
    """An unknown reason or a time without an offset is named, never ignored: a drop would take more than was meant."""
    with pytest.raises(ConfigurationError):
        parse_filter(fields)


# ---- over HTTP


@pytest.fixture
async def client(registry, service):
    """A client of a process with three dead letters, and its store and outbox."""
    store = MemoryDeadLetters(
        a_dead_letter(1), a_dead_letter(2, b"\xff", "not_utf8"), a_dead_letter(3, a_message(), "unknown_agency")
    )
    outbox = Outbox()
    api = Api(
        registry=CollectorRegistry(),
        agencies=registry,
        clock=ManualClock(LATEST),
        health=lambda: Health(healthy=True, ready=True),
        routes=(partial(dead_letter_routes, service(store, outbox, limits := MemoryStore())),),
    )
    server = HttpServer(api, HttpSettings(port=0))
    async with httpx.AsyncClient(base_url=await server.start(), trust_env=False) as client:
        client.store, client.outbox, client.limits = store, outbox, limits
        yield client
    await server.close()


async def test_pages_over_http(client):
    """Counts, entries, filters and the next page."""
    page = (await client.get("/api/v1/dead-letters", params={"limit": 2})).json()
    assert page["counts"] == {"not_json": 1, "not_utf8": 1, "unknown_agency": 1}
    rest = (await client.get("/api/v1/dead-letters", params={"after": "/".join(map(str, page["next"]))})).json()
    assert [dead_letter["offset"] for dead_letter in rest["letters"]] == [3]
    chosen = (await client.get("/api/v1/dead-letters?reason=not_utf8&reason=empty")).json()
    assert [dead_letter["offset"] for dead_letter in chosen["letters"]] == [2]


async def test_one_dead_letter_over_http(client):
    """One dead letter with its bytes, or 404."""
    dead_letter = (await client.get(f"/api/v1/dead-letters/{TOPIC}/0/2")).json()
    assert (dead_letter["reason"], dead_letter["key"], dead_letter["value"]) == ("not_utf8", {"text": "key-2"}, {"hex": "ff"})
    assert (await client.get(f"/api/v1/dead-letters/{TOPIC}/0/9")).status_code == 404


async def test_changes_over_http(client):
    """A dry run, a replay and a drop."""
    dry = await client.post("/api/v1/dead-letters/replay", json={"dry_run": True, "reason": ["unknown_agency"]})
    assert dry.json() == {"accepted": 1, "refused": {}, "removed": 0}
    assert client.outbox.sent == []
    sent = await client.post("/api/v1/dead-letters/replay", json={"reason": ["unknown_agency"]})
    assert sent.json() == {"sent": 1, "removed": 0}
    assert (await client.post("/api/v1/dead-letters/drop", json={"reason": ["not_utf8"]})).json() == {"dropped": 1}
    assert sorted(offset for _, _, offset in client.store.kept) == [1, 3]


async def test_accepting_over_http(client):
    """A partition is accepted up to its end, or below an offset that is named; what cannot be read is refused."""
    asked = "/api/v1/dead-letters/accept"
    answer = await client.post(asked, json={"topic": "many", "partition": 0})
    assert answer.json() == {"topic": "many", "partition": 0, "until": 100}
    assert (await client.post(asked, json={"topic": "many", "partition": 1, "until": 5})).json()["until"] == 5
    for fields in ({}, {"topic": "many"}, {"topic": "many", "partition": "0"}, {"topic": "many", "partition": 9}):
        assert (await client.post(asked, json=fields)).status_code == 400
    assert client.limits.accepted == {("many", 0): 100, ("many", 1): 5}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"json": {}}, 400),
        ({"json": []}, 400),
        ({"json": {"reason": ["nonsense"]}}, 400),
        ({"json": {"reasons": ["not_json"], "from": "2020-01-01T00:00:00+07:00"}}, 400),
        ({"json": {"reason": ["not_json"], "replayed": "false"}}, 400),
        ({"json": {"reason": ["not_json"], "dry_run": True}}, 400),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": {"reason": "not_json"}}, 403),
        ({"content": b'{"reason": ["not_json"]}', "headers": {"Content-Type": "text/plain"}}, 403),
    ],
)
async def test_changes_that_are_refused(client, request_, status):
    """Nothing is dropped without a filter, by mistake, or by a form of another website."""
    answer = await client.post("/api/v1/dead-letters/drop", **request_)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert len(client.store.kept) == 3


async def test_a_replay_with_an_unknown_field_sends_nothing(client):
    """A field with a wrong name would be an empty filter, which selects every dead letter."""
    for fields in ({"reasons": ["unknown_agency"]}, {"dry_run": "yes"}):
        assert (await client.post("/api/v1/dead-letters/replay", json=fields)).status_code == 400
    assert client.outbox.sent == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=9999", "limit=٣", "after=x", "from=yesterday", "reason=none", "reasons=empty", "replayed=yes"],
)
async def test_pages_that_cannot_be_read(client, query):
    """A wrong parameter is a 400 with a sentence."""
    answer = await client.get(f"/api/v1/dead-letters?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_accepting_covers_what_is_in_the_partition_now(service):
    """Messages below the end of the partition are accepted, once; a smaller offset takes nothing back."""
    limits = MemoryStore()
    accepting = service(MemoryDeadLetters(), limits=limits)
    for _ in range(2):
        assert accepting.accept("many", 1) == {"topic": "many", "partition": 1, "until": 7}
    assert accepting.accept("many", 1, until=3) == {"topic": "many", "partition": 1, "until": 7}
    assert accepting.accept("many", 0, until=3) == {"topic": "many", "partition": 0, "until": 3}
    assert limits.accepted == {("many", 1): 7, ("many", 0): 3}


@pytest.mark.parametrize("until", [8, 999_999_999, 2**63 - 1, 2**63, 99999999999999999999])
def test_future_messages_are_not_accepted(service, until):
    """An offset beyond the end would switch the limit off for messages that are sent later."""
    limits = MemoryStore()
    with pytest.raises(ConfigurationError, match=r"Partition 1 of many ends at offset 7.*Omit --until"):
        service(MemoryDeadLetters(), limits=limits).accept("many", 1, until=until)
    assert limits.accepted == {}


@pytest.mark.parametrize("known_by", ["dead letter", "checkpoint", "acceptance"])
@pytest.mark.parametrize("until", [10, 2**63 - 1, None])
def test_without_kafka_only_known_messages_are_accepted(service, known_by, until):
    """Without Kafka the end is unknown: an offset beyond the latest message in the storage could switch the limit off."""

    def away(_topic):
        raise UnavailableError("No broker answers.", remedy="Start it.")

    store, limits = MemoryDeadLetters(a_dead_letter(50)), MemoryStore()  # of another topic
    accepting = service(store, limits=limits)
    accepting._ends = away
    with pytest.raises(UnavailableError) as nothing_known:
        accepting.accept("many", 1, until=1)
    assert nothing_known.value.remedy == "Start it."
    if known_by == "dead letter":
        store.kept["many", 1, 8] = store.kept[TOPIC, 0, 50]
    elif known_by == "checkpoint":
        limits.insert_checkpoints([DeadLetterCheckpoint("many", 1, 8, 0, ())])
    else:
        limits.accept("many", 1, 9)
    with pytest.raises(UnavailableError, match=r"No broker answers\. .* Start it\. Without Kafka, --until may be at most 9\."):
        accepting.accept("many", 1, until=until)
    assert limits.accepted == ({("many", 1): 9} if known_by == "acceptance" else {})
    assert accepting.accept("many", 1, until=9)["until"] == 9


@pytest.mark.parametrize(("partition", "until"), [(1, 2**63), (2**31, 9), (2**40, None), (-1, 9), (1, 0)])
def test_numbers_that_the_storage_cannot_hold(service, partition, until):
    """A number that is too large for the storage would turn into another one."""

    def away(_topic):
        raise UnavailableError("No broker answers.", remedy="Start it.")

    accepting = service(MemoryDeadLetters(), limits=MemoryStore())
    accepting._ends = away
    with pytest.raises(ConfigurationError, match="whole number"):
        accepting.accept("many", partition, until=until)


def test_a_partition_that_does_not_exist_is_not_accepted(service):
    """A number that the topic does not have is named, with those it has."""
    with pytest.raises(ConfigurationError, match=r"no partition 2\. Its partitions are 0 to 1"):
        service(MemoryDeadLetters(), limits=MemoryStore()).accept("many", 2)
    with pytest.raises(ConfigurationError, match=r"no partition 2\. Its partitions are 0 to 1"):
        service(MemoryDeadLetters(), limits=MemoryStore()).accept("many", 2, until=3)
