"""Dead letters are stored, read, marked and dropped, on the embedded engine and a real server."""

from __future__ import annotations

import datetime as dt
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pipeline.dead_letters.removal import ByteRemoval
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.dead_letter_tallies import CHUNK, recount_dead_letters
from sinks.clickhouse.migrate import migrate, packaged_migrations
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.store import ClickHouseStore
from sinks.contract.dead_letters import DeadLetter, DeadLetterFilter, Kept
from sinks.errors import Fatal
from sinks.tables import DEAD_LETTER_IDENTITY
from tests.contract.clustered import storage_of

WAITING, ALL = DeadLetterFilter(), DeadLetterFilter(replayed=True)
BYTES = b"\x00\xff\n'\\\t{}" + "hồ sơ".encode()


@pytest.fixture
def store(clickhouse):
    """The store of dead letters under test."""
    return storage_of(clickhouse).dead_letters()


@pytest.fixture
def keep(clickhouse):
    """Store dead letters as a worker does."""
    return storage_of(clickhouse).events().insert_dead_letters


def a_letter(offset, *, topic="a", partition=0, reason="not_json", value=b"{", key=b"k"):
    """A dead letter."""
    return DeadLetter(topic, partition, offset, key, value, reason, "why 'it' failed\n")


def test_nothing(store):
    """Without dead letters every answer is empty, and dropping removes none."""
    assert store.counts(WAITING) == {}
    assert store.entries(WAITING, limit=10) == []
    assert store.dead_letters(WAITING, limit=10) == []
    assert store.find(("a", 0, 1)) == []
    store.mark_replayed([])
    assert store.drop(DeadLetterFilter(reasons=("x",))) == 0


def test_every_byte_comes_back(store, keep):
    """Key, value and error are returned unchanged; a tombstone differs from an empty message."""
    kept = [a_letter(1, value=BYTES, key=BYTES), a_letter(2, value=None), a_letter(3, value=b""), a_letter(4, key=None)]
    keep(kept)
    assert store.dead_letters(WAITING, limit=10) == kept
    assert [entry.size for entry in store.entries(WAITING, limit=10)] == [len(BYTES), None, 0, 1]
    [(letter, entry)] = store.find(("a", 0, 1))
    assert letter == kept[0]
    assert (entry.position, entry.reason, entry.error) == (("a", 0, 1), "not_json", kept[0].error)
    assert dt.datetime.now(dt.UTC) - entry.first_seen < dt.timedelta(minutes=5)


def test_pages_hold_every_letter_once(store, keep):
    """Pages ascend by topic, partition and offset, and together contain each dead letter once, redelivered or not."""
    kept = [a_letter(offset, topic=topic, partition=p) for topic in "ba" for p in (1, 0) for offset in (10, 9, 2)]
    keep(kept)
    keep(kept[:5])
    seen, after = [], None
    while page := store.entries(WAITING, limit=5, after=after):
        seen += [entry.position for entry in page]
        after = seen[-1]
    assert seen == sorted((letter.topic, letter.partition, letter.offset) for letter in kept)
    whole = store.dead_letters(WAITING, limit=3, after=seen[4])
    assert [(letter.topic, letter.partition, letter.offset) for letter in whole] == seen[5:8]


def test_the_latest_offset_of_a_partition(store, keep):
    """The latest dead letter of its own topic and partition counts, replayed or not."""
    assert store.latest_offset("a", 0) == -1
    keep([a_letter(7), a_letter(2**40), a_letter(9, partition=1), a_letter(99, topic="b")])
    store.mark_replayed([a_letter(2**40)])
    assert (store.latest_offset("a", 0), store.latest_offset("a", 1), store.latest_offset("c", 0)) == (2**40, 9, -1)


def test_filters(store, keep):
    """Reason, topic and the time of the first delivery select the same dead letters in counts, pages and drops."""
    keep([a_letter(1), a_letter(2, reason="empty"), a_letter(3, topic="b")])
    time.sleep(0.01)
    between = store.entries(DeadLetterFilter(topics=("b",)), limit=1)[0].first_seen + dt.timedelta(milliseconds=1)
    time.sleep(0.01)
    keep([a_letter(4)])
    keep([a_letter(1)])  # redelivered: the first delivery counts
    assert store.counts(WAITING) == {"empty": 1, "not_json": 3}
    assert store.counts(DeadLetterFilter(reasons=("empty", "x"))) == {"empty": 1}
    assert store.counts(DeadLetterFilter(topics=("b",))) == {"not_json": 1}
    assert store.counts(DeadLetterFilter(since=between)) == {"not_json": 1}
    assert store.counts(DeadLetterFilter(until=between)) == {"empty": 1, "not_json": 2}
    assert [entry.offset for entry in store.entries(DeadLetterFilter(until=between, topics=("a",)), limit=9)] == [1, 2]
    assert store.drop(DeadLetterFilter(until=between, reasons=("not_json",))) == 2
    assert [entry.offset for entry in store.entries(WAITING, limit=9)] == [2, 4]


def test_the_clock_of_the_store_dates_the_letters(store, keep):
    """A dead letter is older than what the store then calls now, and no older than what it called now before."""
    before = store.now()
    keep([a_letter(1)])
    time.sleep(0.01)
    assert store.counts(DeadLetterFilter(since=before, until=store.now())) == {"not_json": 1}


def test_replayed_letters_are_hidden_but_kept(store, keep):
    """A replayed dead letter is only selected on request, with its time; redelivery changes nothing."""
    keep([a_letter(1), a_letter(2)])
    store.mark_replayed([a_letter(1)])
    keep([a_letter(1)])
    assert [entry.offset for entry in store.entries(WAITING, limit=9)] == [2]
    shown = store.entries(ALL, limit=9)
    assert [(entry.offset, entry.replayed_at is not None) for entry in shown] == [(1, True), (2, False)]
    assert store.find(("a", 0, 1))[0][1].replayed_at == shown[0].replayed_at
    assert dt.datetime.now(dt.UTC) - shown[0].replayed_at < dt.timedelta(minutes=5)


def test_a_dropped_letter_stays_dropped(store, keep, clickhouse):
    """Dropped dead letters are deleted with their bytes, do not reappear by redelivery, and cannot be marked as replayed."""
    keep([a_letter(1), a_letter(2, reason="empty")])
    assert store.drop(DeadLetterFilter(reasons=("empty",))) == 1
    assert clickhouse.rows("test", "SELECT offset FROM dead_letters") == [(1,)]
    keep([a_letter(2, reason="empty")])
    store.mark_replayed([a_letter(2)])
    for wanted in (WAITING, ALL):
        assert [entry.offset for entry in store.entries(wanted, limit=9)] == [1]
        assert store.counts(wanted) == {"not_json": 1}
        assert [letter.offset for letter in store.dead_letters(wanted, limit=9)] == [1]
    assert store.find(("a", 0, 2)) == []
    assert store.drop(ALL) == 1
    assert clickhouse.rows("test", "SELECT offset FROM dead_letters") == []


def test_the_counter_never_falls(store, keep, clickhouse):
    """A dead letter stays counted when it is replayed or dropped: Prometheus treats a falling counter as a restart."""
    keep([a_letter(1), a_letter(2), a_letter(3, reason="empty")])
    reader = storage_of(clickhouse).tallies()
    before = reader.dead_letters_by_reason()
    store.mark_replayed([a_letter(1)])
    store.drop(DeadLetterFilter(reasons=("not_json",), replayed=True))
    assert reader.dead_letters_by_reason() == before == {"not_json": 2, "empty": 1}


OLD, NEW = a_letter(5, value=b"of the old topic"), a_letter(5, value=b"of the new topic", reason="empty")


def test_a_recreated_topic_hides_no_dead_letter(store, keep, clickhouse):
    """Two messages that had the same offset, before and after the topic was recreated, are two dead letters."""
    for letter in (OLD, NEW, OLD, NEW):  # the last two are redelivered
        keep([letter])
        time.sleep(0.002)
    assert store.counts(WAITING) == storage_of(clickhouse).tallies().dead_letters_by_reason() == {"not_json": 1, "empty": 1}
    assert [entry.reason for entry in store.entries(WAITING, limit=9)] == ["not_json", "empty"]
    assert store.dead_letters(WAITING, limit=9) == [OLD, NEW]
    assert [letter for letter, _ in store.find(("a", 0, 5))] == [NEW, OLD]
    assert storage_of(clickhouse).tallies().arrivals(dt.timedelta(hours=1)).dead_letters == 2


def test_a_page_never_ends_between_two_dead_letters_of_one_offset(store, keep):
    """Dead letters with the same offset are on the same page, because the next page continues after this offset."""
    keep([a_letter(4), OLD, a_letter(6)])
    keep([NEW])
    pages, after = [], None
    while page := store.dead_letters(WAITING, limit=2, after=after):
        assert [letter.offset for letter in page] == [entry.offset for entry in store.entries(WAITING, limit=2, after=after)]
        pages.append([letter.offset for letter in page])
        after = ("a", 0, page[-1].offset)
    assert pages == [[4, 5, 5], [6]]


@pytest.mark.parametrize("mark", ["replayed", "dropped"])
def test_a_mark_holds_for_one_message_of_an_offset(store, keep, clickhouse, mark):
    """A message that was replayed or dropped hides no message that has the same offset in a recreated topic."""
    keep([OLD])
    if mark == "replayed":
        store.mark_replayed([OLD])
    else:
        assert store.drop(DeadLetterFilter(reasons=("not_json",))) == 1
    keep([NEW, OLD])
    assert store.dead_letters(WAITING, limit=9) == [NEW]
    assert store.counts(WAITING) == {"empty": 1}
    assert [entry.replayed_at is None for entry in store.entries(ALL, limit=9)] == (
        [False, True] if mark == "replayed" else [True]
    )
    assert storage_of(clickhouse).tallies().dead_letters_by_reason() == {"not_json": 1, "empty": 1}


def test_python_and_sql_hash_a_message_alike(keep, clickhouse):
    """A row that is written without its hash, by an older worker, gets the hash that Python computes."""
    letters = [a_letter(1, value=BYTES, key=BYTES), a_letter(2, value=None), a_letter(3, value=b""), a_letter(4, key=None)]
    keep(letters)
    clickhouse.command(
        "test",
        "INSERT INTO dead_letters (topic, partition, offset, key, value, has_value, reason, error) "
        "SELECT 'b', partition, offset, key, value, has_value, reason, error FROM dead_letters",
    )
    hashes = dict(clickhouse.rows("test", "SELECT offset, content_hash FROM dead_letters WHERE topic = 'b'"))
    assert hashes == {letter.offset: letter.content_hash for letter in letters}
    assert len(set(hashes.values())) == len(letters)


def test_dead_letters_of_an_older_version_keep_their_identity(one_clickhouse):
    """The migration gives stored dead letters their hash, so a redelivered one is not doubled; what was dropped stays dropped."""
    first = [migration for migration in packaged_migrations() if migration.number < 10]
    one_clickhouse.command("test", f"DROP DATABASE {one_clickhouse.target.database}")
    migrate(one_clickhouse, tuple(first))
    old = [a_letter(1, value=BYTES), a_letter(2, value=None), a_letter(3), a_letter(4)]
    for letter in old[:3]:
        one_clickhouse.command(
            "test",
            "INSERT INTO dead_letters (topic, partition, offset, key, value, has_value, reason, error, first_seen) VALUES "
            "('a', 0, {offset:Int64}, 'k', unhex({value:String}), {has:Bool}, 'not_json', {error:String}, now64(3) - 3600)",
            {
                "offset": letter.offset,
                "value": (letter.value or b"").hex(),
                "has": letter.value is not None,
                "error": letter.error,
            },
        )
    one_clickhouse.command(
        "test",
        "INSERT INTO dead_letter_marks (topic, partition, offset, state, reason) VALUES "
        "('a', 0, 3, 'replayed', 'not_json'), ('a', 0, 4, 'dropped', 'not_json')",
    )
    assert [migration.number for migration in migrate(one_clickhouse)][:1] == [10]
    store, reader = storage_of(one_clickhouse).dead_letters(), storage_of(one_clickhouse).tallies()
    before = store.entries(WAITING, limit=9)
    storage_of(one_clickhouse).events().insert_dead_letters(old)
    assert store.dead_letters(WAITING, limit=9) == old[:2]
    assert store.entries(WAITING, limit=9) == before
    assert [entry.offset for entry in store.entries(ALL, limit=9)] == [1, 2, 3]
    assert reader.dead_letters_by_reason() == {"not_json": 4}
    # A worker of the version before writes no hash; what it wrote before the default was there is copied, never lost.
    one_clickhouse.command(
        "test",
        "INSERT INTO dead_letters (topic, partition, offset, content_hash, key, value, has_value, reason, error) "
        "VALUES ('a', 0, 9, 0, 'k', '{', true, 'not_json', '')",
    )
    # Statements that were applied before the migration was recorded are applied again.
    one_clickhouse.command("test", "DELETE FROM schema_migrations WHERE number = 10")
    migrate(one_clickhouse)
    assert [entry.offset for entry in store.entries(WAITING, limit=9)] == [*(entry.offset for entry in before), 9]
    assert one_clickhouse.rows("test", "SELECT count() FROM dead_letters WHERE content_hash = 0") == [(0,)]


def recounted_by_hand(clickhouse):
    """Dead-lettered messages by reason, computed from dead letters and marks: each message under its earliest reason."""
    rows = clickhouse.rows(
        "test",
        "SELECT reason, count() FROM (SELECT argMin(reason, rank) AS reason FROM ("
        f"SELECT {DEAD_LETTER_IDENTITY}, reason, 0 AS rank FROM dead_letter_marks FINAL WHERE state = 'dropped' UNION ALL "
        f"SELECT {DEAD_LETTER_IDENTITY}, reason, 1 FROM dead_letters FINAL) GROUP BY {DEAD_LETTER_IDENTITY}) GROUP BY reason",
    )
    return {str(reason): int(count) for reason, count in rows}


def test_the_counter_is_exact_whatever_happens_to_the_letters(store, keep, clickhouse):
    """Redelivered, replayed, dropped or rejected for another reason, a message counts once, under its first reason."""
    reader = storage_of(clickhouse).tallies()
    offsets = (0, 1, 65_535, 65_536, 131_072, 2**40, 2**62)
    first = [a_letter(offset, topic=topic, partition=p) for topic in ("a", "b'\\") for p in (0, 1023) for offset in offsets]
    keep(first)
    keep(first[::2])
    assert reader.dead_letters_by_reason() == recounted_by_hand(clickhouse) == {"not_json": len(first)}
    time.sleep(0.002)  # a delivery in the same millisecond is not later
    keep([a_letter(1, reason="empty"), a_letter(2, reason="empty")])
    assert reader.dead_letters_by_reason() == recounted_by_hand(clickhouse) == {"not_json": len(first), "empty": 1}
    store.mark_replayed(first[3:6])
    assert store.drop(DeadLetterFilter(topics=("a",), reasons=("not_json",))) > 0
    assert reader.dead_letters_by_reason() == {"not_json": len(first), "empty": 1}
    keep([a_letter(1, reason="too_large"), a_letter(3, reason="too_large")])
    assert reader.dead_letters_by_reason() == recounted_by_hand(clickhouse)
    assert reader.dead_letters_by_reason() == {"not_json": len(first), "empty": 1, "too_large": 1}


def test_workers_that_write_at_the_same_time(clickhouse):
    """Dead letters that several workers write into one chunk at the same time are all counted."""
    reader, store = storage_of(clickhouse).tallies(), storage_of(clickhouse).events()
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda n: store.insert_dead_letters([a_letter(o) for o in range(n, n + 60)]), range(0, 800, 20)))
    assert reader.dead_letters_by_reason() == {"not_json": 840}


class Bounded(ClickHouse):
    """Refuses a statement that reads more than ``max_rows`` rows. A plan is only explained, and reads none."""

    max_rows = 0

    def rows(self, operation, sql, parameters=None, **settings):
        limit = 0 if sql.startswith("EXPLAIN PLAN") else self.max_rows
        return super().rows(operation, sql, parameters, max_rows_to_read=limit, read_overflow_mode="throw", **settings)

    def command(self, operation, sql, parameters=None, **settings):
        super().command(operation, sql, parameters, max_rows_to_read=self.max_rows, read_overflow_mode="throw", **settings)


def test_a_scrape_costs_the_same_after_millions_of_letters(served):
    """The counters of a scrape read no old dead letter, and storing another one reads only its chunk."""
    many = 2_000_000
    served.command(
        "test",
        "INSERT INTO dead_letters (topic, partition, offset, key, value, has_value, reason, error, first_seen) "
        f"SELECT 'a', 0, number, '', '{{', true, 'not_json', '', now64(3) - toIntervalDay(30) FROM numbers({many})",
    )
    recount_dead_letters(served, [("a", 0, offset) for offset in range(0, many, CHUNK)], {})
    bounded = Bounded(served.target)
    try:
        bounded.max_rows = 4 * CHUNK
        ClickHouseStore(bounded).insert_dead_letters([a_letter(many)])
        reader = ClickHouseReader(bounded)
        bounded.max_rows = 1_000
        assert reader.dead_letters_by_reason() == {"not_json": many + 1}
        bounded.max_rows = many // 10
        assert reader.arrivals(dt.timedelta(hours=1)).dead_letters == 1
        with pytest.raises(Fatal, match="TOO_MANY_ROWS"):  # the control: the limit works
            bounded.rows("test", "SELECT uniqExact(topic, partition, offset) FROM dead_letters")
    finally:
        bounded.close()


def test_bytes_are_removed_and_dead_letters_stay(store, keep, clickhouse):
    """The bytes of messages that do not parse go; what parses keeps its known fields; counts, marks and identities stay."""
    whole = [a_letter(1), a_letter(2, value=b'{"status": 9, "name": "Nguyen"}', key=b"Nguyen"), a_letter(3, reason="empty")]
    fields = a_letter(4, value=b'{"status":9}', key=None)
    keep([*whole, replace(fields, kept=Kept.FIELDS, received_hash=77)])
    received, reader = storage_of(clickhouse).received_bytes(), storage_of(clickhouse).tallies()
    before = reader.dead_letters_by_reason()
    store.mark_replayed(whole[2:])
    removal = ByteRemoval(received, dt.timedelta(0), retrying=lambda call: call(), stopping=threading.Event())
    assert not received.has_any(received.now() - dt.timedelta(minutes=5))
    time.sleep(0.01)
    removal.round()
    removal.round()
    entries = {entry.offset: entry for entry in store.entries(ALL, limit=9)}
    assert {offset: (entry.kept, entry.size, entry.removed_at is None) for offset, entry in entries.items()} == {
        1: (Kept.REMOVED, None, False),
        2: (Kept.FIELDS, 12, True),
        3: (Kept.REMOVED, None, False),
        4: (Kept.FIELDS, 12, True),
    }
    assert dt.datetime.now(dt.UTC) - entries[1].removed_at < dt.timedelta(minutes=5)
    assert [letter.value for letter in store.dead_letters(WAITING, limit=9)] == [b"", b'{"status":9}', b'{"status":9}']
    held = "key LIKE '%Nguyen%' OR value LIKE '%Nguyen%' OR position(value, '{') > 0 AND kept != 'fields'"
    assert clickhouse.rows("test", f"SELECT count() FROM dead_letters WHERE {held}") == [(0,)]
    keep(whole)  # redelivered: neither counted nor shown again, and removed in its turn
    assert reader.dead_letters_by_reason() == before == recounted_by_hand(clickhouse)
    assert {entry.offset: entry for entry in store.entries(ALL, limit=9)} == entries
    time.sleep(0.01)
    removal.round()
    assert clickhouse.rows("test", f"SELECT count() FROM dead_letters WHERE {held}") == [(0,)]
    assert store.drop(DeadLetterFilter(reasons=("not_json",))) == 3
