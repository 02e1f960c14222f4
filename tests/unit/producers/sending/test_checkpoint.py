"""The position of a replay survives its end, and only the same replay goes on there."""

from __future__ import annotations

import os

import pytest

from domain.errors import ConfigurationError
from producers.sending.checkpoint import Checkpoint, State, read_state, resumed


def test_the_position_is_written_once_a_second_and_at_the_end(tmp_path, hand_clock):
    """A file that is read at any moment is whole and never ahead of what was acknowledged."""
    path = tmp_path / "state.json"
    checkpoint = Checkpoint(path, State("plan", rebase=5, ranges={"0": (1, 2)}), monotonic=hand_clock.monotonic)
    checkpoint.reached(10)
    checkpoint.reached(20)
    assert read_state(path).position == 10
    hand_clock.seconds += 1.0
    checkpoint.reached(30)
    checkpoint.reached(25)
    checkpoint.close(finished=False)
    assert resumed(path, plan="plan") == State("plan", 30, 5, {"0": (1, 2)})


def test_another_plan_a_finished_one_or_no_file_is_refused(tmp_path):
    """Places mean nothing in another replay."""
    path = tmp_path / "state.json"
    with pytest.raises(ConfigurationError, match="to resume from"):
        resumed(path, plan="plan")
    Checkpoint(path, State("plan")).close(finished=True)
    with pytest.raises(ConfigurationError, match="another replay"):
        resumed(path, plan="other")
    with pytest.raises(ConfigurationError, match="finished"):
        resumed(path, plan="plan")
    path.write_text("[]")
    with pytest.raises(ConfigurationError, match="not a state"):
        read_state(path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Checkpoint(tmp_path / "missing" / "x", State("plan")).close(finished=True)


@pytest.mark.parametrize(
    "content",
    [
        '{"plan":"plan","position":-5}',
        '{"plan":"plan","position":1e30}',
        '{"plan":"plan","position":9223372036854775808}',
        '{"plan":"plan","ranges":{"x":[0,1]}}',
        '{"plan":"plan","ranges":{"0":[-5,3]}}',
        '{"plan":"plan","ranges":{"0":[0]}}',
        "{}",
        "\\xff",
    ],
)
def test_places_that_cannot_be_are_no_state(tmp_path, content):
    """A state that was written by hand is used or refused."""
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="not a state"):
        resumed(path, plan="plan")


def test_a_state_replaces_nothing_but_a_state(tmp_path):
    """A recording, a device, a folder or a pipe that is named by mistake is left as it is, before the first message."""
    recording, pipe, known = tmp_path / "events.ndjson", tmp_path / "pipe", tmp_path / "state.json"
    recording.write_text('{"event_id":"1"}\n')
    os.mkfifo(pipe)
    (tmp_path / "empty").touch()
    for place in (recording, pipe, tmp_path, tmp_path / "missing" / "x", recording / "x"):
        with pytest.raises(ConfigurationError) as caught:
            Checkpoint(place, State("plan")).begin()
        assert caught.value.remedy.startswith("Give --state another file")
    assert recording.read_text() == '{"event_id":"1"}\n'
    assert pipe.is_fifo()
    for place in (known, known, tmp_path / "empty"):
        Checkpoint(place, State("plan", 7)).begin()
        assert read_state(place).position == 7
