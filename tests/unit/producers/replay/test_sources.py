"""Sources hand over the recorded messages as they are, in one order, and say in a sentence why they cannot."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import http.server
import io
import json
import threading
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConfigurationError, UnavailableError
from producers.measuring.service import Service
from producers.messages import Kind
from producers.replay.sources.files import FileSource
from producers.replay.sources.fixed_range import RangeGoneError
from producers.replay.sources.kafka_range import Bounds, KafkaRange
from producers.replay.sources.lines import read_messages
from producers.replay.sources.raw_table import RawTable

EVENTS = [
    {
        "event_id": f"0190163d-8694-8f6a-a123-{number:012x}",
        "dossier_code": f"H26-240502-{number:04d}",
        "agency_code": "H26",
        "status": 9,
        "occurred_at": f"2024-05-02T08:30:0{number}.000+07:00",
    }
    for number in range(3)
]
LINES = [json.dumps(event, separators=(",", ":")).encode() for event in EVENTS]


def write(path, form, packing):
    """The events as a file."""
    if form == "ndjson":
        data = b"\n".join(LINES) + b"\n"
    elif form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, [*EVENTS[0], "returned_by"])
        writer.writeheader()
        writer.writerows(EVENTS)
        data = text.getvalue().encode()
    else:
        rows = [event | {"occurred_at": dt.datetime.fromisoformat(event["occurred_at"]), "returned_by": None} for event in EVENTS]
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        data = sink.getvalue()
    name = path / f"events.{form}{packing}"
    if packing == ".zst":
        with pa.CompressedOutputStream(str(name), "zstd") as file:
            file.write(data)
    else:
        name.write_bytes(gzip.compress(data) if packing else data)
    return str(name)


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
def test_every_form_and_packing_gives_the_same_events(tmp_path, form, packing):
    """Plain, gzip or zstd, as lines or as columns: the same fields, keys and times come out; empty cells are omitted."""
    messages = list(FileSource((write(tmp_path, form, packing),))())
    assert [json.loads(message.value) for message in messages] == EVENTS
    assert [message.key.decode() for message in messages] == [event["dossier_code"] for event in EVENTS]
    assert messages[0].occurred_at == 1_714_613_400_000


def test_several_files_are_one_recording(tmp_path):
    """They follow each other, and can be read again."""
    source = FileSource((write(tmp_path, "csv", ""), write(tmp_path, "ndjson", ".gz")))
    assert len(list(source())) == len(list(source())) == 6
    assert source.label.endswith("and 1 more")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("missing.ndjson", None, "cannot be read"),
        ("broken.gz", b"no gzip", "says gzip, and it is not packed"),
        ("other.csv", b"a,b\n1,2\n", "no column"),
        ("broken.parquet", b"no parquet", "not a Parquet"),
        ("latin.csv", b"event_id,dossier_code,occurred_at\n\xff,1,2\n", "line 2, is not well-formed CSV: it is not UTF-8"),
    ],
)
def test_an_unreadable_file_is_a_configuration_error(tmp_path, name, content, problem):
    """A missing file, or one that is not what its ending says, is answered with a sentence."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=problem):
        list(FileSource((str(path),))())


def test_the_key_is_the_dossier_code_or_nothing():
    """A line that is not an event is sent unchanged, without a key; blank lines are not messages."""
    lines = [
        LINES[0] + b"\r\n",
        b"\n",
        b"  \n",
        b"no json\n",
        b'{"status":9}\n',
        b'{"dossier_code":9}\n',
        b"\xff\n",
        b"[" * 9_999,
    ]
    messages = list(read_messages(lines))
    assert [message.key for message in messages] == [b"H26-240502-0000", *[None] * 5]
    assert [message.value for message in messages][1:] == [line.rstrip(b"\n") for line in lines[3:]]
    assert {message.kind for message in messages} == {Kind.RAW}


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_are_sent_or_blank(lines):
    """Whatever a file holds, reading never fails and loses only blank lines."""
    sent = [message.value for message in read_messages(io.BytesIO(b"\n".join(lines)))]
    kept = [line.rstrip(b"\r") for line in b"\n".join(lines).split(b"\n")]
    assert sent == [line for line in kept if line.strip()]


class Handler(http.server.BaseHTTPRequestHandler):
    """A running process with three events; ``server.answers`` says what each path answers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = urlsplit(self.path)
        self.server.asked.append((parts.path, parse_qs(parts.query)))
        self.server.tokens.append(self.headers.get("Authorization"))
        status, body = self.server.answers.get(parts.path, (404, b"{}"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + self.server.missing))
        self.end_headers()
        self.wfile.write(body)
        if self.server.missing:
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def process():
    """A little HTTP server on a free port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answers, server.asked, server.tokens, server.missing = {}, [], [], 0
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


def test_the_raw_table_is_read_through_the_running_process(process):
    """Period and agencies go into the question; the lines come back as messages, the last one without its line end too."""
    process.answers["/api/v1/events"] = (200, b"\n".join(LINES))
    table = RawTable(process.url, dt.date(2024, 5, 1), dt.date(2024, 5, 31), ("H26", "H17"))
    assert [message.value for message in table()] == LINES
    assert process.asked == [("/api/v1/events", {"from": ["2024-05-01"], "to": ["2024-05-31"], "agency": ["H26", "H17"]})]


def test_a_stream_that_is_cut_off_is_no_end(process):
    """Half a table is an error, not a short replay."""
    process.answers["/api/v1/events"] = (200, b"\n".join(LINES))
    process.missing = 100
    with pytest.raises(UnavailableError, match="does not answer"):
        list(RawTable(process.url, dt.date(2024, 5, 1), dt.date(2024, 5, 31))())


def test_a_refusal_is_one_sentence(process):
    """What the process says comes through."""
    process.answers["/api/v1/events"] = (400, b'{"error": "no such day"}')
    with pytest.raises(UnavailableError, match="no such day"):
        list(RawTable(process.url, dt.date(2024, 5, 1), dt.date(2024, 5, 31))())


def test_progress_is_asked_first_and_status_when_there_is_none(process):
    """A worker counts cheaply; an exporter is asked for its standing; a process without figures is refused."""
    process.answers["/api/v1/status"] = (200, b'{"events": {"stored": 9, "tallied": 7}}')
    with Service(process.url) as service:
        assert (service.counted(), service.cheap) == ((7, None), False)
    process.answers["/api/v1/progress"] = (200, b'{"stored": 9, "tallied_minutes": 8, "exact": 6}')
    with Service(process.url) as service:
        assert (service.counted(), service.counted(), service.cheap) == ((8, 6), (8, 6), True)
    process.answers.clear()
    with Service(process.url) as service, pytest.raises(UnavailableError, match="no figures"):
        service.counted()
    with pytest.raises(ConfigurationError):
        Service("nowhere")


def test_the_token_is_sent(process):
    """With a token every question has it; a refusal says what the process said."""
    process.answers["/api/v1/events"] = (200, b"")
    process.answers["/api/v1/status"] = (401, b'{"error": "This needs a token."}')
    opened = partial(Service, token="a-token")
    assert list(RawTable(process.url, dt.date(2024, 5, 1), dt.date(2024, 5, 31), (), opened)()) == []
    with opened(process.url) as service, pytest.raises(UnavailableError, match="This needs a token"):
        service.counted()
    assert process.tokens == ["Bearer a-token"] * 3


class FakeMessage:
    """What a consumer hands over."""

    def __init__(self, partition, offset, written):
        self.place = (partition, offset, written)

    def error(self):
        return None

    def offset(self):
        return self.place[1]

    def key(self):
        return b"key"

    def value(self):
        return None if self.place[1] == 1 else LINES[0]

    def timestamp(self):
        return (1, self.place[2])


class FakeConsumer:
    """Two partitions of five messages; those of partition 1 were written half a second after those of partition 0."""

    def __init__(self, config):
        assert config["enable.auto.commit"] is False
        self.at = None

    def get_watermark_offsets(self, _partition, **_):
        return (0, 5)

    def offsets_for_times(self, asked, **_):
        for item in asked:
            later = [offset for offset in range(5) if offset * 1000 + item.partition * 500 >= item.offset]
            item.offset = later[0] if later else -1
        return asked

    def assign(self, partitions):
        self.at = (partitions[0].partition, partitions[0].offset)

    def consume(self, _count, _timeout):
        partition, first = self.at
        self.at = (partition, 5)
        return [FakeMessage(partition, offset, offset * 1000 + partition * 500) for offset in range(first, 5)]

    def close(self):
        self.at = None


def topic_range(bounds, topic="t"):
    """A range of a topic with two partitions."""
    found = type("Topic", (), {"error": None, "partitions": {0: None, 1: None}})
    return of_consumer(FakeConsumer, topic, bounds, {"t": found})


def of_consumer(consumer, topic, bounds, known):
    """A range that is read from consumers of a class."""
    made = {"topics": lambda *_, **__: known, "identity": lambda *_: ""}
    return KafkaRange(("b:1",), topic, bounds, consumer, reader=lambda *_: consumer({"enable.auto.commit": False}), **made)


@pytest.mark.parametrize(
    ("bounds", "ranges"),
    [
        (Bounds(), {0: (0, 5), 1: (0, 5)}),
        (Bounds(from_offset=2, to_offset=4), {0: (2, 4), 1: (2, 4)}),
        (Bounds(from_offset=7), {0: (5, 5), 1: (5, 5)} | {0: (7, 7), 1: (7, 7)}),
        (Bounds(from_time=1_200, to_time=3_000), {0: (2, 3), 1: (1, 3)}),
        (Bounds(from_time=99_000), {0: (5, 5), 1: (5, 5)}),
    ],
)
def test_a_range_is_fixed_by_offsets_or_times(bounds, ranges):
    """Times are turned into offsets once; an end outside the topic is its end."""
    fixed = topic_range(bounds).resolved()
    assert fixed.ranges == ranges
    assert fixed.total == len(list(fixed()))


def test_partitions_are_merged_by_the_time_of_writing_and_nothing_is_changed():
    """Two readings give the same order; keys and missing values come through."""
    fixed = topic_range(Bounds(to_offset=3)).resolved()
    messages = list(fixed())
    assert messages == list(fixed())
    assert [message.value for message in messages] == [LINES[0], LINES[0], None, None, LINES[0], LINES[0]]
    assert {message.key for message in messages} == {b"key"}
    assert messages[2].occurred_at == 1_000


def test_a_missing_topic_or_mixed_bounds_are_refused():
    """Both are answered before anything is sent."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        topic_range(Bounds(), "other").resolved()
    with pytest.raises(ConfigurationError, match="not both"):
        Bounds(from_offset=1, to_time=2)


def test_a_replay_that_sends_slowly_is_no_stall(monkeypatch, hand_clock):
    """Time that passes while messages are sent does not count as waiting for the broker; only silence does."""
    monkeypatch.setattr("producers.replay.sources.kafka_range.time", hand_clock)

    class Slow(FakeConsumer):
        """One message at a time, and nothing every other time."""

        silent = False

        def consume(self, _count, seconds):
            self.silent = not self.silent
            hand_clock.seconds += seconds
            if self.silent or self.at[1] >= self.last:
                return []
            partition, offset = self.at
            self.at = (partition, offset + 1)
            return [FakeMessage(partition, offset, offset)]

        last = 5

    found = type("Topic", (), {"error": None, "partitions": {0: None}})
    known = {"t": found}
    source = of_consumer(Slow, "t", Bounds(), known).resolved()
    for _ in source():
        hand_clock.seconds += 1_000
    Slow.last = 3
    with pytest.raises(UnavailableError, match="stops at offset 3 of 5"):
        list(source())
    known.clear()
    with pytest.raises(RangeGoneError, match="Topic t was deleted meanwhile: partition 0 was read to offset 3 of 5"):
        list(source())
