"""The position of a replay survives its end, and only the same replay goes on there."""

from __future__ import annotations

import pytest

from pipeline.core.errors import ConfigurationError
from producers.checkpoint import Checkpoint, State, read_state, resumed


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
    with pytest.raises(ConfigurationError, match="no state"):
        read_state(path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Checkpoint(tmp_path / "missing" / "x", State("plan")).close(finished=True)
