"""A replay sends every message of its source once for each loop, at its pace, and can go on where it stopped."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import ConfigurationError
from producers.messages import Kind, Message
from producers.replay.prebuilt import PackedReplay, packed_file
from producers.replay.task import Replay
from producers.replay.transforms.spacing import Spacing
from producers.sending import batch_file
from producers.sending.send_loop import Run, send_task
from tests.sending import Recorded

BASE = 1_714_613_400_000
ID = "0190163d-8694-8f6a-a123-{:012x}"


def message(number, *, seconds=None):
    """One event; its time is ``seconds`` after the first."""
    at = BASE + 1000 * (number if seconds is None else seconds)
    value = json.dumps({"event_id": ID.format(number), "dossier_code": f"H26-240502-{number % 50:04d}", "occurred_at": "x"})
    return Message(f"H26-240502-{number % 50:04d}".encode(), value.encode(), at, Kind.RAW)


def sent(replay, run, sender, unpack):
    """Everything a replay sends, as (key, value), and its account."""
    account = send_task(replay, sender=sender, run=run, on_progress=lambda _: None)
    return [pair for batch in sender.batches for pair in unpack(batch)], account


def test_flat_out_every_message_goes_out_once_in_the_order_of_its_key(run_of, recording_sender, unpack):
    """Nothing is lost or doubled, and the messages of one dossier keep their order."""
    messages = [message(number) for number in range(9_000)]
    pairs, account = sent(Replay(Recorded(messages), Spacing()), run_of(), recording_sender, unpack)
    assert sorted(value for _, value in pairs) == sorted(item.value for item in messages)
    for key in {item.key for item in messages}:
        assert [value for found, value in pairs if found == key] == [item.value for item in messages if item.key == key]
    assert (account.sent, account.acknowledged, account.distinct, account.position) == (9_000,) * 4
    assert recording_sender.flushed == 1


def test_each_further_loop_is_new_events_and_the_same_ones_every_time(run_of, recording_sender, unpack):
    """Three loops of ten events are thirty events; the first are the recording itself; a second run repeats all thirty."""
    replay = Replay(Recorded([message(number) for number in range(10)]), Spacing(), loops=3)
    pairs, account = sent(replay, run_of(), recording_sender, unpack)
    ids = [json.loads(value)["event_id"] for _, value in pairs]
    assert len(set(ids)) == len(ids) == account.distinct == 30
    assert {ID.format(number) for number in range(10)} <= set(ids)
    recording_sender.batches.clear()
    again, _ = sent(replay, run_of(), recording_sender, unpack)
    assert sorted(again) == sorted(pairs)


def test_repeats_in_a_recording_are_events_but_not_distinct(run_of, recording_sender, unpack):
    """A line that comes twice and a line that is not an event are sent, and counted for what they are."""
    messages = [message(1), message(1), message(2), Message(None, b"no json", 0, Kind.RAW)]
    _, account = sent(Replay(Recorded(messages), Spacing()), run_of(), recording_sender, unpack)
    assert (account.sent, account.events, account.distinct) == (4, 3, 2)


@pytest.mark.parametrize("spacing", [Spacing(speed=10.0), Spacing(rate=10.0)])
def test_the_pace_is_kept(hand_clock, run_of, recording_sender, unpack, spacing):
    """Events a second apart at speed 10, or at 10 a second, leave a tenth of a second apart."""
    recording_sender.clock = hand_clock
    replay = Replay(Recorded([message(number) for number in range(50)]), spacing)
    _, account = sent(replay, run_of(), recording_sender, unpack)
    assert account.sent == 50
    moments = [item.sent_at - account.started for item in account.acknowledgements]
    assert moments == pytest.approx([number / 10 for number in range(50)], abs=0.011)


def test_rebased_events_are_dated_when_they_are_due_and_are_events_of_their_own(run_of, recording_sender, unpack):
    """The first event is dated with the start, the others at their spacing; no id is one of the recording's."""
    messages = [message(number) for number in range(5)]
    pairs, _ = sent(Replay(Recorded(messages), Spacing(speed=2.0), rebase=BASE), run_of(), recording_sender, unpack)
    events = [json.loads(value) for _, value in pairs]
    assert sorted(event["occurred_at"] for event in events) == [
        "2024-05-02T08:30:00.000+07:00",
        "2024-05-02T08:30:00.500+07:00",
        "2024-05-02T08:30:01.000+07:00",
        "2024-05-02T08:30:01.500+07:00",
        "2024-05-02T08:30:02.000+07:00",
    ]
    assert not {event["event_id"] for event in events} & {ID.format(number) for number in range(5)}


@settings(max_examples=30)
@given(stop=st.integers(0, 60), rebase=st.sampled_from([None, BASE]), loops=st.integers(1, 3))
def test_stopped_and_resumed_sends_what_an_unbroken_replay_sends(sender_type, unpack, stop, rebase, loops):
    """Whatever the moment of the stop: both runs together send exactly the events of one run, to the byte."""

    def run_to(skip, stop_after):
        sender, now, pauses = sender_type(), 0.0, 0

        def pause(seconds):
            nonlocal now, pauses
            now, pauses = now + seconds, pauses + 1
            return stop_after is not None and pauses > stop_after

        run = Run(partitions=4, share=(0, 1), pause=pause, monotonic=lambda: now)
        replay = Replay(
            Recorded([message(number) for number in range(20)]), Spacing(rate=10.0), loops=loops, skip=skip, rebase=rebase
        )
        account = send_task(replay, sender=sender, run=run, on_progress=lambda _: None)
        return {pair for batch in sender.batches for pair in unpack(batch)}, account

    whole, _ = run_to(0, None)
    first, account = run_to(0, stop)
    assert account.position <= account.sent
    second, _ = run_to(account.position, None)
    assert first | second == whole


def test_shares_divide_the_partitions_and_send_everything_once(run_of, sender_type, unpack):
    """Two processes send disjoint partitions; together they send what one would."""
    messages = [message(number) for number in range(2_000)]
    found, partitions = [], []
    for number in range(2):
        sender = sender_type()
        send_task(Replay(Recorded(messages), Spacing()), sender=sender, run=run_of(share=(number, 2)), on_progress=lambda _: None)
        found += [pair for batch in sender.batches for pair in unpack(batch)]
        partitions.append({batch.partition for batch in sender.batches})
    assert sorted(found) == sorted((item.key, item.value) for item in messages)
    assert partitions[0] & partitions[1] == set()


def test_a_lost_broker_ends_an_endless_replay_and_the_position_stays_before_the_loss(run_of, recording_sender):
    """What failed is behind the position, so that resuming sends it again."""
    recording_sender.breaks_after = 3
    messages = [message(number) for number in range(5_000)]
    account = send_task(
        Replay(Recorded(messages), Spacing(), loops=0), sender=recording_sender, run=run_of(), on_progress=lambda _: None
    )
    assert account.failed > 0
    assert account.problem == "broken"
    assert account.position <= min(recording_sender.indexes)


def test_ctrl_c_flushes_and_reports(run_of, recording_sender):
    """An interrupt while reading ends the replay in good order."""

    def cut_off():
        yield from (message(number) for number in range(7))
        raise KeyboardInterrupt

    class CutOff(Recorded):
        def __call__(self):
            return cut_off()

    account = send_task(Replay(CutOff([]), Spacing()), sender=recording_sender, run=run_of(), on_progress=lambda _: None)
    assert account.interrupted
    assert recording_sender.flushed == 1
    assert recording_sender.flushed_within < 20  # a supervisor kills then
    assert account.position == 0


def test_a_prebuilt_file_sends_the_same_and_is_packed_once(tmp_path, run_of, recording_sender, unpack):
    """Packed and sent are the messages of all loops; the same source is not packed again, another one is."""
    replay = Replay(Recorded([message(number) for number in range(3_000)]), Spacing(), loops=2)
    path = tmp_path / "events.ndjson.batches"
    contents, made = packed_file(replay, path=path, origin="a", partitions=4)
    assert made
    assert (contents.records, contents.distinct) == (6_000, 6_000)
    assert packed_file(replay, path=path, origin="a", partitions=4) == (contents, False)
    assert packed_file(replay, path=path, origin="b", partitions=4)[1]
    pairs, account = sent(PackedReplay(path, "packed"), run_of(), recording_sender, unpack)
    direct = [pair for batch in replay.full_batches(4) for pair in unpack(batch)]
    assert sorted(pairs) == sorted(direct)
    assert account.position == len(list(batch_file.read(path)))


def test_a_prebuilt_file_keeps_a_rate_and_resumes_by_batches(tmp_path, hand_clock, run_of, recording_sender, unpack):
    """Batches leave when their messages are due; skipped batches are not sent."""
    replay = Replay(Recorded([message(number) for number in range(40_000)]), Spacing())
    path = tmp_path / "x.batches"
    packed_file(replay, path=path, origin="a", partitions=4)
    begun = hand_clock.seconds
    sent(PackedReplay(path, "packed", rate=1_000.0), run_of(), recording_sender, unpack)
    last = recording_sender.batches[-1].records
    assert hand_clock.seconds - begun == pytest.approx((40_000 - last) / 1_000, abs=0.01)
    count = len(recording_sender.batches)
    recording_sender.batches.clear()
    sent(PackedReplay(path, "packed", skip=count - 2), run_of(), recording_sender, unpack)
    assert len(recording_sender.batches) == 2


class Broken(Recorded):
    """Messages kept in memory, followed by an error."""

    def __call__(self):
        yield from self.messages
        raise ConfigurationError("e.ndjson cannot be read beyond line 5,000.", remedy="Copy it again.")


@pytest.mark.parametrize("spacing", [Spacing(), Spacing(rate=1_000_000.0)])
def test_a_source_that_breaks_off_is_sent_up_to_there(run_of, recording_sender, unpack, spacing):
    """Every message before the break is sent and acknowledged, in one loop only; the account says why it ended and where."""
    messages = [message(number) for number in range(5_000)]
    pairs, account = sent(Replay(Broken(messages), spacing, loops=3), run_of(), recording_sender, unpack)
    assert sorted(value for _, value in pairs) == sorted(item.value for item in messages)
    assert account.source_error.problem == "e.ndjson cannot be read beyond line 5,000."
    assert (account.acknowledged, account.position, account.interrupted) == (5_000, 5_000, False)


def test_a_source_that_breaks_off_is_not_packed(tmp_path):
    """Half a recording becomes no file of batches: it would be taken for the whole one the next time."""
    path = tmp_path / "e.batches"
    with pytest.raises(ConfigurationError, match="beyond line"):
        packed_file(Replay(Broken([message(1)]), Spacing()), path=path, origin="e", partitions=4)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_became_shorter_than_what_was_sent_is_named(run_of, recording_sender, unpack):
    """A resumed replay that finds less than it had sent sends nothing and says so; one that had sent all is simply done."""
    messages = [message(number) for number in range(3)]
    pairs, account = sent(Replay(Recorded(messages), Spacing(), skip=5), run_of(), recording_sender, unpack)
    assert pairs == []
    assert "holds 3 messages, and the replay that is resumed had sent 5" in account.source_error.problem
    pairs, account = sent(Replay(Recorded(messages), Spacing(), skip=3), run_of(), recording_sender, unpack)
    assert (pairs, account.source_error) == ([], None)
