"""A produced scenario is sent whole, and its report adds up."""

from __future__ import annotations

import io
import json

from producers.portals import produce as portals
from producers.portals.produce import produce, scenario_messages, stream_of, to_file
from producers.sending.progress import NullProgress
from producers.sending.send_loop import send_task


def test_a_scenario_is_sent_with_its_faults(monkeypatch, small_scenario, recording_sender, run_of, unpack):
    """Every message and every fault is sent and flushed, and the report adds up."""
    monkeypatch.setattr(portals, "load_scenario", lambda _, **__: small_scenario)
    stream = stream_of(scenario_messages("emc-2024", seed=1), seed=1, rate=None, faults=500)
    report = produce(
        stream,
        seed=1,
        send=lambda task, on_progress: send_task(task, sender=recording_sender, run=run_of(), on_progress=on_progress),
        progress=NullProgress(),
    )
    messages = [pair for batch in recording_sender.batches for pair in unpack(batch)]
    assert report.sent == len(messages) == stream.total == report.distinct + report.repeated + 500
    assert (report.malformed, report.result.failed, report.result.interrupted) == (500, 0, False)
    assert report.repeated > 0
    assert report.complete
    assert recording_sender.flushed == 1


def test_a_file_holds_the_same_messages(monkeypatch, small_scenario):
    """Written to a file, each message is a line, in the order of the stream."""
    monkeypatch.setattr(portals, "load_scenario", lambda _, **__: small_scenario)
    file = io.BytesIO()
    send = to_file(file, name="file")
    messages = scenario_messages("emc-2024", seed=1)
    report = produce(stream_of(messages, seed=1, rate=None), seed=1, send=send, progress=NullProgress())
    lines = file.getvalue().splitlines()
    assert [message.value for message in scenario_messages("emc-2024", seed=1)] == lines
    assert report.sent == report.result.acknowledged == len(lines)
    assert report.distinct == len({json.loads(line)["event_id"] for line in lines})
