"""Latency by counting: the distance between what was sent and what is counted, and an honest word when nothing is."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from domain.errors import UnavailableError
from producers.measuring.latency import Curve, Watch, latency
from producers.measuring.measured_run import ProbeTarget, measure
from producers.measuring.progress import LogLines
from producers.measuring.result import SendReport, Window, measured, sent_curve
from producers.measuring.service import Counted
from producers.sending.progress import NullProgress
from producers.sending.send_loop import SendResult, merged
from producers.sending.timeline import Acknowledged, Timeline


def test_a_constant_delay_is_found():
    """Every event is visible half a second after it was sent: all quantiles say so."""
    sent = Curve.of_sends((second / 100, 10) for second in range(1_000))
    visible = Curve([(0.0, 0), *((second / 100 + 0.5, 10 * (second + 1)) for second in range(1_000))])
    lag = latency(sent, visible)
    assert (lag.events, lag.unseen) == (10_000, 0)
    assert [lag.p50, lag.p95, lag.p99, lag.maximum] == pytest.approx([0.5] * 4, abs=0.011)


def test_a_stall_shows_in_the_tail_only():
    """One second in ten is two seconds late: the median does not move, the tail does."""
    sent = Curve.of_sends((second / 10, 10) for second in range(100))
    late = [(second / 10 + (2.0 if 50 <= second < 60 else 0.1), 10 * (second + 1)) for second in range(100)]
    newest, readings = 0.0, []
    for moment, count in late:
        newest = max(newest, moment)
        readings.append((newest, count))
    lag = latency(sent, Curve([(0.0, 0), *readings]))
    assert lag.p50 < 0.2
    assert lag.p95 > 1.0


def test_windows_are_those_of_sending():
    """A window counts what was sent in it, whenever it became visible."""
    sent = Curve.of_sends([(0.0, 100), (10.0, 100)])
    visible = Curve([(0.0, 0), (1.0, 100), (10.0, 100), (14.0, 200)])
    assert latency(sent, visible, until=5.0).maximum == pytest.approx(1.0)
    assert latency(sent, visible, since=5.0).maximum == pytest.approx(4.0)
    assert latency(sent, visible, since=20.0) is None


def test_what_was_never_seen_is_counted_and_spoils_no_quantile():
    """Events that did not become visible are named, not timed; with none at all there is no figure."""
    sent = Curve.of_sends([(0.0, 100)])
    lag = latency(sent, Curve([(0.0, 0), (1.0, 50)]))
    assert (lag.events, lag.unseen) == (50, 50)
    nothing = latency(sent, Curve([(0.0, 0)]))
    assert nothing.unseen == 100
    assert math.isnan(nothing.p99)
    assert nothing.as_dict()["p99"] is None


def test_a_count_that_falls_is_left_out():
    """A restarted process begins at zero; the curve only grows."""
    curve = Curve([(0.0, 5)])
    curve.add(1.0, 2)
    curve.add(2.0, 7)
    assert curve.counts()[1].tolist() == [5, 7]


class FakeService:
    """Counts up by 10 each time it is asked, up to 50, of which ``halves`` leaves half inexact; fails every third time."""

    cheap = True

    def __init__(self, *, limit=50, halves=False):
        self.asked, self.limit, self.halves, self.closed, self.letters = 0, limit, halves, False, 7

    def counted(self):
        self.asked += 1
        if self.asked % 3 == 0:
            raise UnavailableError("restarting", remedy="")
        visible = min(self.asked * 10, self.limit)
        return Counted(1_000 + visible, 500 + visible // 2 if self.halves else None)

    def dead_letters(self):
        self.letters += 3
        return self.letters

    def close(self):
        self.closed = True


def test_a_watch_waits_until_all_is_visible_or_nothing_more_comes(monkeypatch):
    """It survives failed polls, and ends when the count no longer grows."""
    monkeypatch.setattr("producers.measuring.latency._COSTLY_POLL_SECONDS", 0.001)
    service = FakeService()
    with Watch(service, poll=0.001, stall_seconds=0.05) as watch:
        assert watch.wait_for(40)
        assert not watch.wait_for(41)
        assert watch.visible.total == 40
    assert service.closed
    assert watch.problem.startswith("restarting")


def test_a_watch_also_waits_for_exact_figures(monkeypatch):
    """Where the process says how many events are exact, the wait is for these, and both curves are known."""
    monkeypatch.setattr("producers.measuring.latency._COSTLY_POLL_SECONDS", 0.001)
    with Watch(FakeService(halves=True), poll=0.001, stall_seconds=0.05) as watch:
        assert watch.wait_for(20)
        assert not watch.wait_for(21)
        assert (watch.visible.total, watch.exact.total) == (40, 20)


def account(**changes):
    """What two batches came to."""
    acknowledged = Timeline.of([Acknowledged(100.0, 100.1, 10, 9, 8), Acknowledged(101.0, 101.2, 10, 10, 10)])
    return SendResult(
        **{"sent": 20, "acknowledged": 20, "started": 100.0, "ended": 101.2, "acknowledgements": acknowledged} | changes
    )


class Task:
    """Something that was sent."""

    label = "task"
    target_rate = 100.0

    def target_rate_at(self, _elapsed):
        return 100.0


def test_without_a_running_process_the_report_says_what_is_missing():
    """Nothing is invented: no visible count, no latency, and why."""
    outcome = measure(
        Task(), broker=None, processes=1, probe=ProbeTarget(None), progress=NullProgress(), runner=lambda *_, **__: account()
    )
    assert outcome.as_dict()["latency_seconds"] is None
    assert "not measured" in outcome.text()
    assert "--http" in outcome.text()


def test_a_process_that_a_person_named_must_answer():
    """Otherwise the measurement goes on without it."""
    down = "http://127.0.0.1:1"
    runner = {"runner": lambda *_, **__: account(), "progress": NullProgress(), "broker": None, "processes": 1}
    with pytest.raises(UnavailableError):
        measure(Task(), probe=ProbeTarget(down, required=True), **runner)
    assert "does not answer" in measure(Task(), probe=ProbeTarget(down), **runner).note


def test_with_a_process_the_report_has_counts_and_quantiles(monkeypatch):
    """Sent, acknowledged, visible and the latency; repeats count where the process counts them."""
    made = []

    def watch(_service):
        made.append(Watch(FakeService(limit=19 + 10), poll=0.001, stall_seconds=0.05, monotonic=lambda: 200.0))
        return made[0]

    monkeypatch.setattr("producers.measuring.latency._COSTLY_POLL_SECONDS", 0.001)
    outcome = measure(
        Task(),
        broker=None,
        processes=1,
        probe=ProbeTarget("http://127.0.0.1:1"),
        progress=NullProgress(),
        runner=lambda *_, **__: account(),
        watch=watch,
        windows=[Window("first", 0.0, 1.0, 10.0), Window("second", 1.0, 2.0, 10.0)],
    )
    report = outcome.as_dict()
    assert (report["sent"], report["acknowledged"], report["distinct"], report["visible"]) == (20, 20, 18, 19)
    assert report["latency_seconds"]["events"] == 19
    assert report["dead_letters"] == 3  # it had some before
    assert "dead letters               3   (never visible" in outcome.text()
    assert [window["latency_seconds"]["events"] for window in report["windows"]] == [9, 10]
    assert "second" in outcome.text()


def test_accounts_of_processes_add_up():
    """Counts are summed, the position is the lowest, one interruption is one of all."""
    both = merged([account(position=7, problem=""), account(position=3, interrupted=True, failed=1, problem="x", ended=105.0)])
    assert (both.sent, both.position, both.interrupted, both.problem, both.seconds) == (40, 3, True, "x", 5.0)
    assert both.rate == 8.0
    assert not SendReport("s", both, None, 2).complete
    assert measured(both, None, [Window("w", 0.0, 1.0, None)])[0].rate == 20.0


def test_log_lines_name_the_wanted_rate(hand_clock):
    """Target and achieved rate stand side by side; an unknown total is omitted."""
    lines = []
    progress = LogLines(lambda event, **fields: lines.append((event, fields)), monotonic=hand_clock.monotonic)
    progress.set_target(lambda elapsed: 100.0 * elapsed)
    progress.expect(None)
    hand_clock.seconds += 5.0
    progress.update(600)
    assert lines == [("sending", {"sent": 600, "rate": 120, "wanted": 500})]


def test_a_million_acknowledgements_stay_small():
    """Memory is bounded however many batches are acknowledged, and counts and rates of windows stay what they are."""
    timeline, sizes = Timeline(max_buckets=1_000), []
    for number in range(1_000_000):
        timeline.add(Acknowledged(number / 400, number / 400 + 0.01, 5, 4, 3))
        if number % 100_000 == 0:
            sizes.append(len(timeline))
    assert max([*sizes, len(timeline)]) <= 1_000
    assert (timeline.records, timeline.events, timeline.distinct) == (5_000_000, 4_000_000, 3_000_000)
    assert sum(item.records for item in timeline) == 5_000_000
    assert sum(item.sent_at * item.records for item in timeline) / 5_000_000 == pytest.approx(999_999 / 2 / 400, abs=0.001)
    assert timeline.ended == pytest.approx(2_500.0, abs=0.1)
    sent = SendResult(acknowledgements=timeline, started=0.0, ended=timeline.ended)
    (window,) = measured(sent, None, [Window("minute", 600.0, 660.0, None)])
    assert window.rate == pytest.approx(2_000.0, rel=0.1)
    assert len(pickle.dumps(timeline)) < 200_000


def test_latency_over_long_runs_is_that_of_short_ones():
    """A run whose batches and readings were put together measures what one measures that keeps them all, to within a bucket."""
    bounded, whole = (Timeline(max_buckets=count) for count in (2_000, 1 << 20))
    curves = Curve(max_points=2_000), Curve()
    for number in range(100_000):
        moment = number / 100
        for timeline in (bounded, whole):
            timeline.add(Acknowledged(moment, moment, 10, 10, 10))
        for curve in curves:
            curve.add(moment + 2.0 + number / 100_000, 10 * (number + 1))
    assert len(bounded) <= 2_000
    assert len(curves[0]) <= 2_000
    small, large = (
        latency(sent_curve(SendResult(acknowledgements=timeline), repeats=True), curve)
        for timeline, curve in zip((bounded, whole), curves, strict=True)
    )
    assert (small.events, small.unseen) == (large.events, large.unseen) == (1_000_000, 0)
    for name in ("p50", "p95", "p99"):
        assert getattr(small, name) == pytest.approx(getattr(large, name), abs=2 * bounded.width)


def test_a_curve_of_polls_is_bounded_and_keeps_its_ends():
    """Days of polling cost what an hour costs; level stretches cost two points; the last count is always the newest."""
    curve = Curve(max_points=100)
    for number in range(10_000):
        curve.add(number * 0.02, number)
        assert curve.total == number
        assert len(curve) <= 101
    moments, counts = curve.counts()
    assert (moments[0], counts[0], counts[-1]) == (0.0, 0, 9_999)
    assert np.interp(100.0, moments, counts) == pytest.approx(5_000, abs=2)
    bent = Curve(max_points=100)
    for number in range(10_000):
        bent.add(number * 0.02, number**2)
    for number in (500, 5_000, 9_500):
        assert np.interp(number * 0.02, *bent.counts()) == pytest.approx(number**2, rel=0.1)
    level = Curve([(0.0, 0)])
    for number in range(1_000):
        level.add(1.0 + number, 7)
    assert level.counts()[0].tolist() == [0.0, 1.0, 1_000.0]


def test_processes_add_up_to_one_timeline():
    """What several processes sent is one timeline, as wide as the widest of them."""
    parts = [Timeline(max_buckets=10), Timeline()]
    for number in range(100):
        for part in parts:
            part.add(Acknowledged(float(number), number + 0.5, 2, 1, 1))
    both = Timeline.merged(parts)
    assert (both.records, both.distinct, both.ended) == (400, 200, 99.5)
    assert both.width == parts[0].width > parts[1].width
