"""The verdict is plain arithmetic on integers: each kind of fault by hand, without rules and without Prometheus."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from dashboards.history.acceptances import Acceptances
from dashboards.history.backtest import rows_of, with_threshold
from dashboards.history.detection import found_drops, told_faults
from dashboards.history.engine import Change, Key
from dashboards.history.faults import Fault, Injected, feed_of
from dashboards.history.feed import Feed
from dashboards.history.figures import Figures, Grid
from dashboards.history.verdict import AlertCheck, Span, spans_of
from dashboards.history.year import Drop
from dashboards.rules.generate import RuleTiming
from domain.agencies import AgencyRegistry
from domain.periods import Window, day_start
from domain.working_days import WorkingDays
from pipeline.settings import ThresholdPolicy

FIRST, HOUR = dt.date(2024, 3, 4), dt.timedelta(hours=1)
DAYS = 28
POLICIES = (ThresholdPolicy(window="1d"),)
#: One agency settles a hundred dossiers an hour.
AN_HOUR = 100
START, END = 48, 24 * DAYS
LOW = Key("AgencyRateLow", (("agency", "H17"), ("kpi", "I1"), ("rung", "below5"), ("severity", "critical"), ("window", "1d")))


def figures(full):
    """Of so many online dossiers in each hour."""
    grid = Grid(day_start(FIRST), HOUR, 24 * DAYS)
    agency = AgencyRegistry.packaged().at("H17", FIRST)
    return Figures(grid, [agency], {"settled": np.full((1, grid.steps), AN_HOUR), "settled_full": np.array([full], np.int64)})


def judged(full, *spans, feed=None):
    """The verdict on spans of the alert below 5 %, as (first, end)."""
    of = figures(full)
    judge = AlertCheck(of, feed or Feed.sound(of.grid), POLICIES, RuleTiming.production(), WorkingDays())
    return judge.judge([Span(LOW, first, end, (START, END)) for first, end in spans], [(START, END)])


def low_from(first, end, rate=4, otherwise=20):
    """Online dossiers an hour: ``rate`` from one instant to another, else ``otherwise``."""
    return [rate if first <= hour < end else otherwise for hour in range(24 * DAYS)]


#: The last 24 hours are below 5 % from instant 122 to 200: 24 * 5 = 120 > 23 * 4 + 20 = 112; and below 6 % one hour longer.
FULL = low_from(100, 200)


def test_windows_hold_whole_counts():
    """A rolling window holds its own steps, a month begins at its midnight, an earlier window is the same one before."""
    of = figures(low_from(0, 24, rate=1, otherwise=2))
    numerator, denominator = of.within("I1", Window.DAY)
    assert numerator[0, [12, 24, 30, 48]].tolist() == [12, 24, 18 + 12, 48]
    assert denominator[0, [12, 24, 48]].tolist() == [1_200, 2_400, 2_400]
    april = figures([2] * 24 * DAYS).within("I1", Window.MONTH)[1]
    assert april[0, (dt.date(2024, 3, 31) - FIRST).days * 24 - 1] == ((dt.date(2024, 3, 31) - FIRST).days * 24 - 1) * AN_HOUR
    assert of.within("I1", Window.DAY, ago=24)[0][0, 48] == numerator[0, 24]


def test_late_acceptances_are_those_of_seven_days_that_can_be_judged():
    """Registrations of a Friday can be judged on Tuesday; what is not counted is late, and what was not registered is nothing."""
    grid = Grid(day_start(FIRST), HOUR, 24 * DAYS)
    days = [FIRST + dt.timedelta(days=number) for number in range(DAYS)]
    answered = np.zeros((1, DAYS, 24), np.int64)
    answered[0, :, 10] = 8
    of = Acceptances(grid, [WorkingDays().next_after(day) for day in days], np.full((1, DAYS), 10), answered)

    def counts(day, counted=None):
        return tuple(int(each[0]) for each in of.counts(day, counted))

    monday, tuesday = dt.date(2024, 3, 18), dt.date(2024, 3, 19)
    assert of.deadlines[days.index(dt.date(2024, 3, 15))] == monday
    assert counts(monday) == counts(tuesday) == (14, 70)
    assert counts(FIRST) == (0, 0)
    # What was answered on Monday from eleven o'clock on is not counted yet: Friday, Saturday and Sunday look late.
    assert counts(tuesday, grid.of_day(monday) + 10) == (14 + 3 * 8, 70)
    assert counts(tuesday, grid.of_day(monday) + 11) == (14, 70)
    # Nothing of Sunday is counted.
    assert counts(tuesday, grid.of_day(dt.date(2024, 3, 17))) == (12 + 2 * 8, 60)


def test_an_alert_must_hold_in_the_exact_counts():
    """It is right when the rate was below the limit as long as an alert waits, and false one step earlier."""
    low = [hour for hour in range(START, END) if sum(FULL[hour - 24 : hour]) < 0.05 * 2_400]
    right = judged(FULL, (low[0] + 2, None))
    assert not right.false_alerts
    assert [wrong.at for wrong in judged(FULL, (low[0] + 1, None)).false_alerts] == [low[0] + 1]


def test_exactly_the_limit_is_not_below_it():
    """5 of 100 are not below 5 %."""
    assert judged([5] * 24 * DAYS, (100, None)).false_alerts
    assert not judged([4] * 24 * DAYS, (100, None)).false_alerts


def test_an_end_needs_a_rate_above_the_deadband():
    """An alert that ends while the rate is between 5 % and 6 % is a false end, and so is one that ends a step too early."""
    clear = next(hour for hour in range(201, END) if sum(FULL[hour - 24 : hour]) >= 0.06 * 2_400)
    low = next(hour for hour in range(START, END) if sum(FULL[hour - 24 : hour]) < 0.05 * 2_400)
    assert not judged(FULL, (low + 2, clear + 3)).false_ends
    assert [wrong.at for wrong in judged(FULL, (low + 2, clear + 2)).false_ends] == [clear + 2]


def test_an_alert_that_was_due_is_missed():
    """Nothing fires although the rate is low, or it fires too late; not while the pipeline has a fault."""
    assert judged(FULL).missed
    low = next(hour for hour in range(START, END) if sum(FULL[hour - 24 : hour]) < 0.05 * 2_400)
    assert not [wrong for wrong in judged(FULL, (low + 5, None)).missed if wrong.key.label("rung") == "below5"]
    of = figures(FULL)
    stalled = feed_of(of.grid, [Injected(Fault.STALL, 60, END)], of.counts["settled"])
    assert not judged(FULL, feed=stalled).missed


def test_an_alert_that_nothing_describes_is_named():
    """It is neither right nor wrong, and the verdict says so."""
    of = figures(FULL)
    judge = AlertCheck(of, Feed.sound(of.grid), POLICIES, RuleTiming.production(), WorkingDays())
    assert judge.judge([Span(Key("Unheard", ()), 60, None, (START, END))], []).not_judged == {"Unheard": 1}


def test_changes_become_spans_of_their_part():
    """What began in the warm-up has no beginning, what goes on has no end, and what ended before the part is gone."""
    keys = [Key(name, ()) for name in "abc"]
    changes = [Change(1, keys[0], ended=False), Change(2, keys[1], ended=False), Change(3, keys[1], ended=True)]
    changes += [Change(9, keys[2], ended=False), Change(12, keys[0], ended=True)]
    part = (105, 120)
    assert spans_of(changes, first=100, start=105, end=120) == [
        Span(keys[0], None, 112, part),
        Span(keys[2], 109, None, part),
    ]


@pytest.mark.parametrize(("points", "has_rule", "due"), [(6, True, True), (4, True, False), (6, False, False), (15, False, True)])
def test_a_drop_is_due_by_the_exact_counts(points, has_rule, due):
    """Five points in seven days on 2,000 dossiers must be found; without a rule on drops only a fall through a rung."""
    first = FIRST + dt.timedelta(days=14)
    drop = Drop("H17", first, 7, points)
    of = figures(low_from(14 * 24, 21 * 24, rate=20 - points))
    (found,) = found_drops(of, [drop], [], has_rule=has_rule)
    assert (found.hundredths, found.dossiers, found.due, found.hours) == (points * 100, 16_800, due, None)
    told = Span(LOW, 14 * 24 + 30, None, (START, END))
    (found,) = found_drops(of, [drop], [told], has_rule=has_rule)
    assert (found.hours, found.by) == (30, "AgencyRateLow")


def test_a_fault_is_told_by_its_own_alert():
    """While it lasts, and by no other alert."""
    fault = Injected(Fault.EXPORTER, 100, 110)
    told = [Span(Key("ExporterDown", ()), 103, 112, (START, END)), Span(Key("LagHigh", ()), 101, 102, (START, END))]
    assert told_faults([fault], told)[0].steps == 3
    assert told_faults([fault], told[1:])[0].steps is None


def test_what_crosses_parts_is_one_time():
    """An alert that fires at the end of a month and at the beginning of the next fired once."""
    spans = [Span(LOW, 60, None, (48, 72)), Span(LOW, None, 80, (72, 96)), Span(LOW, 90, 94, (72, 96))]
    agencies = [AgencyRegistry.packaged().at("H17", FIRST)]
    (row,) = rows_of(spans, agencies=agencies, policies=with_threshold(POLICIES, 0.07), step=HOUR, year=2024)
    assert (row.times, row.hours, row.longest, row.firing, float(row.limit)) == (2, 24, 20, False, 0.07)
