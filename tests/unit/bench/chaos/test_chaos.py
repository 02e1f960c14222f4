"""The pure functions of the chaos runs: the schedule, what counts as lost or double, torn segments, and when a run fails."""

from __future__ import annotations

import itertools
import struct

import pytest

from bench.chaos.comparison import Comparison, excess, wrong_agencies
from bench.chaos.fault import ANY_WORKERS, ONE_WORKER, TWO_WORKERS, FaultResult, all_faults
from bench.chaos.run import Run, choose
from bench.chaos.schedule import LONGEST_PAUSE, steps
from bench.chaos.segments import newest_segment, torn_batch
from domain.errors import ConfigurationError

NAMES = ("a", "b", "c", "d", "e")


def first(count, *, names=NAMES, seed=1):
    """The first steps of a schedule."""
    return list(itertools.islice(steps(names, seed), count))


def test_the_same_seed_gives_the_same_schedule():
    """A run can be repeated from its seed, however its faults were listed; another seed gives another order."""
    assert first(50) == first(50, names=tuple(reversed(NAMES)))
    assert [step.fault for step in first(50)] != [step.fault for step in first(50, seed=2)]


def test_every_fault_comes_once_a_round():
    """Each round holds every fault, and pauses stay short."""
    run = first(50)
    for start in range(0, 50, len(NAMES)):
        assert sorted(step.fault for step in run[start : start + len(NAMES)]) == sorted(NAMES)
    assert all(0 <= step.pause <= LONGEST_PAUSE for step in run)
    assert len({step.seed for step in run}) == 50


def test_an_empty_schedule_is_rejected():
    """An endless search for a first fault would look like a quiet run."""
    with pytest.raises(ValueError, match="at least one"):
        next(steps((), 1))


def test_events_above_the_expected_ones_are_double():
    """An excess of one key is not offset by a lack of another."""
    assert excess({("H17", 0): 5, ("H01", 0): 5}, {("H17", 0): 7, ("H01", 0): 3, ("H02", 0): 1}) == 3


def test_an_agency_is_wrong_when_any_of_its_keys_is():
    """Equal totals do not hide wrong minutes, and an agency that was not sent is wrong."""
    expected = {("H17", 0): 5, ("H17", 60): 5, ("H01", 0): 1}
    assert wrong_agencies(expected, dict(expected)) == ()
    assert wrong_agencies(expected, {("H17", 0): 6, ("H17", 60): 4, ("H01", 0): 1}) == ("H17",)
    assert wrong_agencies(expected, expected | {("H02", 0): 1}) == ("H02",)
    assert wrong_agencies(expected, {("H17", 0): 5, ("H17", 60): 5}) == ("H01",)


def a_batch(base, messages, size):
    """A record batch of a segment, reduced to its length and offsets."""
    body = struct.pack(">ibihi", 0, 2, 0, 0, messages - 1) + bytes(size)
    return struct.pack(">qi", base, len(body)) + body


def test_a_torn_batch_follows_the_last_whole_one(tmp_path):
    """The half-written batch has the next offset and a length beyond its bytes; an earlier torn batch is cut off."""
    whole = a_batch(0, 3, 40) + a_batch(3, 5, 80)
    (tmp_path / "00000000000000000000.log").write_bytes(b"older")
    (tmp_path / "00000000000000000007.log").write_bytes(whole + a_batch(8, 1, 90)[:50])
    segment = newest_segment(tmp_path)
    assert (segment.size, segment.end) == (len(whole), 8)
    half = torn_batch(segment)
    base, length = struct.unpack_from(">qi", half)
    assert base == 8
    assert 12 < len(half) < 12 + length


def test_an_empty_segment_is_not_torn(tmp_path):
    """There is no batch to take half of."""
    with pytest.raises(ValueError, match="no segment"):
        newest_segment(tmp_path)
    (tmp_path / "00000000000000000000.log").write_bytes(b"")
    with pytest.raises(ValueError, match="no whole batch"):
        newest_segment(tmp_path)


def a_comparison(**changes):
    """An exact comparison with some numbers changed."""
    tallied = {"events": 8, "tallied_minutes": 8, "tallied_days": 8, "tallied_procedures": 8, "figures": 80, "wrong": {}}
    numbers = {"messages": 10, "expected": 9, "raw": 10, "distinct": 9, "lost": 0, "double": 0}
    return Comparison(**tallied | numbers | changes)


@pytest.mark.parametrize(
    "change",
    [
        {"lost": 1},
        {"double": 1},
        {"distinct": 8},
        {"tallied_minutes": 7},
        {"tallied_days": 9},
        {"tallied_procedures": 7},
        {"wrong": {"agency_day": ("H17",)}},
        {"differences": ("agency_day: H17 2025-02-01: settled is 2, the truth is 1.",)},
    ],
)
def test_one_wrong_number_is_not_exact(change):
    """Every number of the comparison counts."""
    assert a_comparison().exact
    assert not a_comparison(**change).exact


def test_a_run_fails_for_each_reason():
    """Status 0 needs at least one fault, exact numbers after each, no unexpected end, and recovery."""
    good = FaultResult("zombie", 1.0, a_comparison(), ())
    assert Run(1, [good]).exit_status == 0
    assert Run(1).exit_status == 1
    assert Run(1, [good, FaultResult("zombie", 1.0, a_comparison(lost=1), ())]).exit_status == 1
    assert Run(1, [good, FaultResult("zombie", 1.0, a_comparison(), ("worker-1 ended by itself.",))]).exit_status == 1
    assert Run(1, [good], unrecovered=("zombie", "why")).exit_status == 1
    assert Run(1, [good], unexpected_ends=["worker-1 ended with 1, not 0."]).exit_status == 1
    assert Run(1, [good], interrupted=True).exit_status == 130


def test_a_fault_gets_the_workers_that_it_needs():
    """Usually as many as the run has; more when the fault needs them, and exactly one for a fault of the only worker."""
    assert [needs.workers_of(2) for needs in (ANY_WORKERS, ONE_WORKER, TWO_WORKERS)] == [2, 1, 2]
    assert [needs.workers_of(1) for needs in (ANY_WORKERS, ONE_WORKER, TWO_WORKERS)] == [1, 1, 2]


def test_faults_are_chosen_by_name():
    """All of them when none is named; an unknown name ends the command with the list of names."""
    assert list(choose("")) == list(all_faults())
    assert list(choose("zombie, kill-loop")) == ["zombie", "kill-loop"]
    with pytest.raises(ConfigurationError, match=r"no fault 'zombi'.*kill-loop"):
        choose("zombi")
