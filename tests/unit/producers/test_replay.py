"""Replay sends lines as they are, in their order, at their spacing."""

from __future__ import annotations

import gzip
import io
import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigurationError
from producers.messages import Kind, Message
from producers.replay import opened, read_messages, spaced

LINE = b'{"dossier_code":"H26-240502-0001","occurred_at":"2024-05-02T08:30:00.000+07:00","status":9}'


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_plain_and_packed_files_read_the_same(tmp_path, ending):
    """A file may be plain, gzip or zstd; the ending says which."""
    path = tmp_path / f"events.ndjson{ending}"
    text = (LINE + b"\n") * 3
    if ending == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(text)
    else:
        path.write_bytes(gzip.compress(text) if ending else text)
    with opened(str(path)) as lines:
        assert [message.value for message in read_messages(lines)] == [LINE] * 3


def test_an_unreadable_file_is_a_configuration_error(tmp_path):
    """A missing file, or one that is not what its ending says, is answered with a sentence."""
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"no gzip")
    for path in (tmp_path / "missing.ndjson", broken):
        with pytest.raises(ConfigurationError, match="cannot be read"), opened(str(path)) as lines:
            list(read_messages(lines))


def test_the_key_is_the_dossier_code_or_nothing():
    """A line that is no event goes out as it is, without a key; blank lines are no messages."""
    lines = [
        LINE + b"\r\n",
        b"\n",
        b"  \n",
        b"no json\n",
        b'{"status":9}\n',
        b'{"dossier_code":9}\n',
        b"\xff\xfe\n",
        b"[" * 9_999,
    ]
    messages = list(read_messages(lines))
    assert [message.key for message in messages] == [b"H26-240502-0001", *[None] * 5]
    assert [message.value for message in messages][1:] == [line.rstrip(b"\n") for line in lines[3:]]
    assert {message.kind for message in messages} == {Kind.RAW}
    assert messages[0].occurred_at == 1_714_613_400_000


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_are_sent_or_blank(lines):
    """Whatever a file holds, reading never fails and loses only blank lines."""
    sent = [message.value for message in read_messages(io.BytesIO(b"\n".join(lines)))]
    kept = [line.rstrip(b"\r") for line in b"\n".join(lines).split(b"\n")]
    assert sent == [line for line in kept if line.strip()]


def test_spacing_is_divided_by_the_speed(hand_clock):
    """At speed 10, events a minute apart go out six seconds apart."""
    messages = [Message(None, b"", 1_700_000_000_000 + 60_000 * number, Kind.RAW) for number in range(5)]
    sent = spaced(messages, speed=10.0, monotonic=hand_clock.monotonic, sleep=hand_clock.sleep)
    times = [hand_clock.seconds for _ in sent]
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx([6.0] * 4)


def test_late_and_undated_lines_do_not_wait(hand_clock):
    """A line older than those before it, or without a time, goes out at once, and the schedule stays."""
    base = 1_700_000_000_000
    offsets = (0, 10_000, -5_000, None, 20_000)
    messages = [Message(None, b"", 0 if o is None else base + o, Kind.RAW) for o in offsets]
    sent = spaced(messages, speed=1.0, monotonic=hand_clock.monotonic, sleep=hand_clock.sleep)
    times = [hand_clock.seconds - 1_000.0 for _ in sent]
    assert times == pytest.approx([0, 10, 10, 10, 20])


def test_max_speed_never_sleeps(hand_clock):
    """Without a speed everything goes out at once."""
    messages = [Message(None, b"", 1_700_000_000_000 + 60_000 * number, Kind.RAW) for number in range(5)]
    assert list(spaced(messages, speed=None, monotonic=hand_clock.monotonic, sleep=hand_clock.sleep)) == messages
    assert not hand_clock.sleeps
