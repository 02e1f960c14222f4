"""The summary tells the truth about what was sent, also when it was cut off or lost."""

from __future__ import annotations

import itertools

from producers.measuring.progress import LogLines
from producers.messages import Kind, Message
from producers.sending.stream import NullProgress, send_all


def endless(kind=Kind.EVENT):
    """Messages without end."""
    return (Message(b"k", b"v", 0, kind) for _ in itertools.count())


def sent(messages, writer):
    """The summary of sending the messages."""
    return send_all(messages, source="test", seed=1, writer=writer, progress=NullProgress())


def test_kinds_are_counted_apart(recording_writer):
    """Distinct events, repeats and malformed messages are told apart and add up to what was sent."""
    kinds = [Kind.EVENT] * 5 + [Kind.REPEAT] * 2 + [Kind.MALFORMED] + [Kind.RAW] * 3
    summary = sent([Message(b"k", b"v", 0, kind) for kind in kinds], recording_writer)
    assert (summary.sent, summary.distinct, summary.repeated, summary.malformed) == (11, 8, 2, 1)
    assert summary.complete
    assert summary.as_dict()["acknowledged"] == 11


def test_ctrl_c_flushes_and_reports(recording_writer):
    """An interrupt ends the stream, not the messages under way: they are flushed and counted."""

    def cut_off():
        yield from itertools.islice(endless(), 7)
        raise KeyboardInterrupt

    summary = sent(cut_off(), recording_writer)
    assert summary.interrupted
    assert (summary.sent, recording_writer.flushed) == (7, 1)
    assert recording_writer.flushed_within < 20  # whoever stops processes kills then


def test_a_lost_destination_ends_an_endless_stream(recording_writer):
    """When the broker is gone for good the sending stops by itself and is not complete."""
    recording_writer.breaks_after = 10
    summary = sent(endless(), recording_writer)
    assert summary.failed > 0
    assert not summary.complete
    assert summary.problem == "broken"


def test_log_lines_come_every_few_seconds_with_the_rate_since_the_last(hand_clock):
    """Away from a terminal progress is a constant event with numbers, not a line for each update."""
    lines = []
    progress = LogLines(lambda event, **fields: lines.append((event, fields)), monotonic=hand_clock.monotonic)
    progress.expect(1_000)
    for sent_so_far in range(0, 1_000, 10):
        progress.update(sent_so_far)
        hand_clock.seconds += 0.1
    assert [event for event, _ in lines] == ["sending"]
    assert lines[0][1] == {"sent": 500, "total": 1_000, "rate": 100}
