"""A replay that is resumed sends the messages that it had not sent, or refuses files that hold other ones now."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.errors import ConfigurationError
from producers.replay.plan import ReplayOptions, plan_replay
from producers.sending.checkpoint import Checkpoint
from tests.factories import a_message

EVENTS = [json.loads(a_message()) for _ in range(40)]


def parquet(path, events):
    """Write events as Parquet."""
    pq.write_table(pa.Table.from_pylist(events), path)


def ndjson(path, events):
    """Write events as lines."""
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def planned(path, *, resume):
    """The replay of a file whose state is kept beside it."""
    options = ReplayOptions(files=(str(path),), state=path.with_suffix(".state"), resume=resume)
    return plan_replay(options, target="events", source_topic=None, http=None)


def stopped_at(path, position):
    """A replay of the file that was stopped after so many messages."""
    _, state = planned(path, resume=False)
    checkpoint = Checkpoint(path.with_suffix(".state"), state)
    checkpoint.begin()
    checkpoint.reached(position)
    checkpoint.close(finished=False)


@pytest.mark.parametrize("write", [parquet, ndjson])
@pytest.mark.parametrize(
    "changed",
    [EVENTS[::-1], EVENTS[1:], [EVENTS[39], *EVENTS[1:39], EVENTS[0]], EVENTS[:20], EVENTS[5:6] + EVENTS],
    ids=["reversed", "first event gone", "two events exchanged", "half of it", "an event in front"],
)
def test_a_changed_file_is_refused(tmp_path, write, changed):
    """The position in the state would mean other messages, and some would never be sent."""
    path = tmp_path / "events.file"
    write(path, EVENTS)
    stopped_at(path, 15)
    write(path, changed)
    with pytest.raises(ConfigurationError, match="has changed since the replay began") as raised:
        planned(path, resume=True)
    assert str(path) in raised.value.problem


@pytest.mark.parametrize("write", [parquet, ndjson])
def test_the_same_file_is_resumed(tmp_path, write):
    """A copy with another time of change is the same file."""
    path = tmp_path / "events.file"
    write(path, EVENTS)
    stopped_at(path, 15)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    _, state = planned(path, resume=True)
    assert state.position == 15


def test_lines_may_be_added(tmp_path):
    """A recording that grows keeps the positions of its lines, also when it is resumed twice."""
    path = tmp_path / "events.ndjson"
    ndjson(path, EVENTS[:20])
    stopped_at(path, 15)
    for length in (30, 40):
        ndjson(path, EVENTS[:length])
        _, state = planned(path, resume=True)
        assert state.position == 15


def test_a_state_without_contents_is_resumed(tmp_path):
    """The state of an earlier release names no contents."""
    path = tmp_path / "events.ndjson"
    ndjson(path, EVENTS)
    stopped_at(path, 15)
    state = path.with_suffix(".state")
    fields = json.loads(state.read_text())
    del fields["contents"]
    state.write_text(json.dumps(fields))
    _, resumed = planned(path, resume=True)
    assert (resumed.position, len(resumed.contents)) == (15, 1)
