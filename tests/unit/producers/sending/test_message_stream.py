"""A stream leaves in order and on time, and its account is true, also when it was interrupted or the broker was lost."""

from __future__ import annotations

import itertools

import pytest

from producers.measuring.progress import LogLines
from producers.messages import Kind, Message
from producers.sending.message_stream import MessageStream
from producers.sending.send_loop import send_task


def numbered(kinds, *, keys=5):
    """Messages of these kinds; the value is the number."""
    return [Message(b"k%d" % (number % keys), b"%d" % number, 0, kind) for number, kind in enumerate(kinds)]


def endless():
    """Messages without end."""
    return (Message(b"k", b"v", 0, Kind.EVENT) for _ in itertools.count())


def account_of(stream, run, sender):
    """What was sent of the stream."""
    return send_task(stream, sender=sender, run=run, on_progress=lambda _: None)


def test_kinds_are_counted_apart(run_of, recording_sender):
    """Distinct events, repeats and malformed messages are counted apart and add up to what was sent."""
    kinds = [Kind.EVENT] * 5 + [Kind.REPEAT] * 2 + [Kind.MALFORMED] + [Kind.RAW] * 3
    account = account_of(MessageStream("test", numbered(kinds)), run_of(), recording_sender)
    assert (account.sent, account.distinct, account.repeated, account.malformed) == (11, 8, 2, 1)
    assert account.complete
    assert account.acknowledged == account.position == 11


def test_each_message_is_sent_once_in_the_order_of_its_key(run_of, recording_sender, unpack):
    """Nothing is lost or doubled over many chunks, and the messages of one key keep their order."""
    messages = numbered([Kind.EVENT] * 3_000)
    account_of(MessageStream("test", messages), run_of(), recording_sender)
    pairs = [pair for batch in recording_sender.batches for pair in unpack(batch)]
    for key in {message.key for message in messages}:
        assert [value for found, value in pairs if found == key] == [item.value for item in messages if item.key == key]


@pytest.mark.parametrize("rate", [0.5, 20.0, 2_000.0])
def test_a_message_leaves_when_it_is_due(hand_clock, run_of, recording_sender, rate):
    """At a rate no message waits for a batch to fill: it leaves within 10 ms of its due time."""
    recording_sender.clock = hand_clock
    account = account_of(MessageStream("test", numbered([Kind.EVENT] * 50), rate=lambda: rate), run_of(), recording_sender)
    number = 0
    for item in account.acknowledgements:
        late = [item.sent_at - account.started - due / rate for due in range(number, number + item.records)]
        assert -0.002 < min(late) <= max(late) < 0.0121
        number += item.records
    assert number == 50


def test_a_stream_ends_with_its_duration(hand_clock, run_of, recording_sender):
    """A message that is due only after the end is not waited for longer than until the end."""
    account = account_of(MessageStream("test", endless(), rate=lambda: 0.1, duration=13.0), run_of(), recording_sender)
    assert account.sent == 2
    assert hand_clock.seconds - account.started == pytest.approx(13.0)


def test_ctrl_c_flushes_and_reports(run_of, recording_sender):
    """An interrupt ends the stream, not the messages that are in flight: they are flushed and counted."""

    def interrupted():
        yield from itertools.islice(endless(), 7)
        raise KeyboardInterrupt

    account = account_of(MessageStream("test", interrupted(), rate=lambda: 50.0), run_of(), recording_sender)
    assert account.interrupted
    assert (account.sent, account.acknowledged, recording_sender.flushed) == (7, 7, 1)
    assert recording_sender.flushed_within < 20  # a supervisor kills then


def test_an_interrupt_while_a_batch_is_handed_over_counts_what_was_sent(run_of, recording_sender):
    """A batch that was not taken is not sent, and neither are its repeats."""

    def refuse(_batch):
        raise KeyboardInterrupt

    recording_sender.submit = refuse
    account = account_of(MessageStream("test", numbered([Kind.REPEAT] * 9)), run_of(), recording_sender)
    assert (account.sent, account.repeated, account.failed, account.interrupted) == (0, 0, 0, True)


def test_a_batch_without_an_answer_has_failed(run_of, recording_sender):
    """What is neither acknowledged nor refused when the flush ends counts as failed."""
    recording_sender.submit = recording_sender.batches.append
    account = account_of(MessageStream("test", numbered([Kind.EVENT] * 9)), run_of(), recording_sender)
    assert (account.sent, account.acknowledged, account.failed, account.complete) == (9, 0, 9, False)


def test_a_lost_broker_ends_an_endless_stream(run_of, recording_sender):
    """When the broker is unreachable the sending stops by itself and is not complete."""
    recording_sender.breaks_after = 10
    account = account_of(MessageStream("test", endless(), rate=lambda: 100.0), run_of(), recording_sender)
    assert account.failed > 0
    assert not account.complete
    assert account.problem == "broken"


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
