"""What the page shows of one moment: states, ranks, changes and deficits from whole numbers."""

from __future__ import annotations

import datetime as dt
import re
from fractions import Fraction

import pytest

from domain.clock import ManualClock
from domain.errors import ConfigurationError
from domain.indicators import INDICATORS, Ratio
from domain.periods import Period, civil_day
from domain.rounding import percent
from domain.working_days import WorkingDays
from pipeline.board.changes import changes, merged
from pipeline.board.figures import BoardFigures, Paced, throughput_of
from pipeline.board.periods import BoardPeriod, board_period
from pipeline.board.snapshot import Page, ProcessState, agency_figures, build_snapshot
from pipeline.board.sparklines import rolling
from pipeline.serving.window_counts import newest_counts_of_days
from sinks.contract.tallies import Counts, TallyTotals
from tests.board import EDGES, NOW, BoardReader
from tests.reports import report_of

TARGET = Fraction(30, 100)


def page_of(registry, **more):
    """What stays while figures change."""
    return Page(registry=registry, indicator=INDICATORS["I1"], working_days=WorkingDays(), **more)


def snapshot_of(reader, registry, period=BoardPeriod.YEAR, *, clock=None, **page):
    """The data of a period, read at once."""
    figures = BoardFigures(reader, indicator=INDICATORS["I1"], clock=clock or ManualClock(reader.now)).read(period)
    return build_snapshot(page_of(registry, **page), period, figures, ProcessState(drift=0))


@pytest.mark.parametrize(
    ("counts", "rate", "state", "deficit", "goal"),
    [
        ((48, 965), "4.97", "below5", 1, "5"),
        ((30, 600), "5.00", "below10", 34, "10"),
        ((25, 250), "10.00", "target", 72, "30"),
        ((0, 2000), "0.00", "zero", 106, "5"),
        ((0, 0), None, "nodata", None, None),
        ((1, 100_000), "0.00", "below5", 5263, "5"),
        ((299, 1000), "29.90", "target", 2, "30"),
        ((300, 1000), "30.00", "met", None, None),
    ],
)
def test_state_rate_and_deficit_come_from_whole_numbers(counts, rate, state, deficit, goal):
    """Exactly 5 % is not below 5 %, 48 of 965 is; new dossiers count in the denominator, too; no data is not zero."""
    numerator, denominator = counts
    row = agency_figures(Ratio(*counts), None, TARGET)
    assert (row["rate"], row["state"], row["deficit"], row["goal"]) == (rate, state, deficit, goal)
    if deficit:
        limit = float(goal) / 100
        assert (numerator + deficit) / (denominator + deficit) >= limit > (numerator + deficit - 1) / (denominator + deficit - 1)


def test_the_figures_are_those_of_the_report(registry):
    """Agencies, blocks and nation have the numerators, denominators and cut rates of the report over the same days."""
    reader = BoardReader(registry)
    data = snapshot_of(reader, registry)
    rows = report_of(reader, registry=registry, **{"from": "2024-01-01", "to": "2024-08-20"}).as_dict()["rows"]
    due = {(row["scope"], row["code"]): row["indicators"]["I1"] for row in rows}
    for code, row in data["agencies"].items():
        found = due["agency", code]
        assert (row["numerator"], row["denominator"]) == (found["numerator"], found["denominator"]), code
        assert row["rank"] == found["rank"], code
    for block, row in data["blocks"].items():
        assert (row["numerator"], row["denominator"]) == tuple(due["block", block][part] for part in ("numerator", "denominator"))
    nation = next(row["indicators"]["I1"] for row in rows if row["scope"] == "nation")
    assert (data["nation"]["numerator"], data["nation"]["denominator"]) == (nation["numerator"], nation["denominator"])
    assert data["nation"]["rate"] == percent(Ratio(nation["numerator"], nation["denominator"]))
    assert sum(data["states"].values()) == len(data["agencies"])
    assert data["agencies"]["H35"]["rank"] is None
    assert {code for code in EDGES if data["agencies"][code]["state"] == "zero"} == {"G08", "G10"}


class Daily(BoardReader):
    """Every agency in force has other figures each day."""

    def __init__(self, registry, now):
        super().__init__(registry, now)
        self.registry = registry

    def counts_of_days(self, first, last):
        found = {}
        for day in (first + dt.timedelta(days=number) for number in range((last - first).days + 1)):
            for agency in self.registry.in_force(day):
                settled = (ord(agency.code[1]) + 3 * ord(agency.code[2]) + day.toordinal()) % 50
                sums = found.get(agency.code, (0, 0))
                found[agency.code] = (sums[0] + settled // (2 + ord(agency.code[2]) % 9), sums[1] + settled)
        return {code: Counts(events=d, settled=d, settled_full=n) for code, (n, d) in found.items() if d}

    def counts_between(self, start, end):
        return self.counts_of_days(civil_day(start), civil_day(end) - dt.timedelta(days=1))


@pytest.mark.parametrize(
    ("first", "last", "tiles"),
    [
        ("2024-03-05", "2024-05-07", 63),
        ("2025-06-10", "2025-08-20", 34),
        ("2025-08-20", "2025-08-31", 34),
        ("2016-04-01", "2016-04-03", 63),
    ],
)
def test_chosen_days_have_the_figures_of_their_report(registry, first, last, tiles):
    """Days in the past, with today, and to come: the integers are the report's; agencies and map are those of the last day."""
    reader = Daily(registry, dt.datetime(2025, 8, 20, 8, tzinfo=dt.UTC))
    period = board_period({"period": "any", "from": first, "to": last})
    data = snapshot_of(reader, registry, period)
    rows = report_of(reader, registry=registry, **{"from": first, "to": last}).as_dict()["rows"]
    due = {row["code"]: row["indicators"]["I1"] for row in rows}
    figures = data["agencies"] | data["blocks"] | {"VN": data["nation"]}
    for code, row in figures.items():
        assert (row["numerator"], row["denominator"], row["rate"]) == (
            due[code]["numerator"], due[code]["denominator"], due[code]["percent"]
        ), code  # fmt: skip
    assert len(data["map"]["tiles"]) == tiles
    assert ("H02" in data["agencies"]) == (tiles == 63)
    assert (data["period"]["first"], data["period"]["last"], data["period"]["compared"]) == (first, last, "before")
    assert (data["agencies"]["H17"]["change"] is None) == (first == "2016-04-01")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"period": "week"}, "Use one of 24h, month, ytd, any"),
        ({"period": "any", "from": "2024-01-01"}, "to is not a day: ''"),
        ({"period": "any", "from": "2024-W01", "to": "2024-01-02"}, "from is not a day"),
        ({"period": "any", "from": "2024-02-30", "to": "2024-03-02"}, "from is not a day"),
        ({"period": "any", "from": "2024-01-02", "to": "2024-01-01"}, "Swap from and to"),
        ({"period": "any", "from": "1975-12-31", "to": "2024-01-01"}, "which cannot be counted"),
        ({"period": "month", "to": "2024-01-01"}, "to belongs to period=any"),
        ({"from": "2024-01-01"}, "from belongs to period=any"),
    ],
)
def test_wrong_days_are_refused(parameters, words):
    """A period that is not shown as it was asked for would be another one's figures."""
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        board_period(parameters)


def test_the_map_and_the_units_are_those_of_the_day(registry):
    """Before 2025-07-01 there are 63 provinces, from then on 34; what merged units sent stays in the sums of the year."""
    before = snapshot_of(BoardReader(registry), registry)
    assert len(before["map"]["tiles"]) == 63
    reader = BoardReader(registry)
    reader.now = dt.datetime(2025, 8, 20, 8, tzinfo=dt.UTC)
    after = snapshot_of(reader, registry)
    assert len(after["map"]["tiles"]) == 34
    assert "H02" not in after["agencies"]
    assert after["nation"]["denominator"] == before["nation"]["denominator"]


def test_a_year_without_a_target_has_no_target(registry):
    """Where no target is published, 10 % and more is a state of its own, and nothing is missing."""
    reader = BoardReader(registry)
    reader.now = dt.datetime(2026, 8, 20, 8, tzinfo=dt.UTC)
    row = snapshot_of(reader, registry)["agencies"]["H17"]
    assert (row["state"], row["deficit"], row["goal"]) == ("above", None, None)


def test_changes_compare_with_the_period_before(registry):
    """The change is exact and cut; every period has one, and a year that has just begun has none."""
    reader = BoardReader(registry)
    for period in BoardPeriod:
        data = snapshot_of(reader, registry, period)
        assert data["agencies"]["H17"]["change"] == "+4.62", period  # 1480 of 4000 against 1295 of 4000
    assert BoardPeriod.MONTH.previous_days(NOW).days == 20
    assert BoardPeriod.YEAR.previous_days(dt.datetime(2024, 1, 10, tzinfo=dt.UTC)) is None


def test_what_makes_figures_old(registry):
    """Quiet office hours and late counting make figures old; a night does not; a stopped clock does not; no event is not old."""
    reader = BoardReader(registry)
    assert snapshot_of(reader, registry)["freshness"]["state"] == "live"
    reader.newest = dict.fromkeys(reader.newest, NOW - dt.timedelta(minutes=11))
    found = snapshot_of(reader, registry)["freshness"]
    assert (found["state"], found["reason"]) == ("stale", "quiet")
    assert found["since"] == found["newest_event"] == int((NOW - dt.timedelta(minutes=11)).timestamp() * 1000)
    assert snapshot_of(reader, registry, clock_fixed=True)["freshness"]["state"] == "live"
    reader.now = NOW + dt.timedelta(hours=9)  # midnight
    reader.newest = dict.fromkeys(reader.newest, NOW + dt.timedelta(hours=2))  # 17:00
    assert snapshot_of(reader, registry)["freshness"]["state"] == "live"
    reader.ratios = dict.fromkeys(reader.ratios, (0, 0))
    assert snapshot_of(reader, registry)["freshness"]["state"] == "empty"


def test_the_delay_of_counting():
    """What is counted now was stored when as many were stored; the pace is that of the last seconds."""
    samples = tuple((float(second), TallyTotals(stored=100 * second, tallied=0)) for second in range(61))
    late = throughput_of(samples, TallyTotals(stored=6000, tallied=2500), 3)
    assert (late.per_second, late.delay_seconds, late.waiting, late.dead_letters) == (100.0, 35.0, 3500, 3)
    assert throughput_of(samples, TallyTotals(stored=6000, tallied=6000), 3).delay_seconds == 0
    assert throughput_of(samples[:1], samples[0][1], 0).per_second is None


class Asked(BoardReader):
    """Notes for which days and minutes it was asked."""

    def __init__(self, registry):
        super().__init__(registry)
        self.calls = []

    def counts_of_days(self, first, last):
        self.calls.append((first.isoformat(), last.isoformat()))
        return super().counts_of_days(first, last)

    def counts_between(self, start, end):
        self.calls.append(("minutes", (end - start).days, start.hour))
        return super().counts_between(start, end)

    def last_events(self, now):
        self.calls.append("last events")
        return super().last_events(now)


def test_what_changes_is_read_last_and_from_minutes(registry):
    """Days are summed from minutes: today is read from its minutes, after everything else, so that a change is seen soon."""
    for period, earlier in ((BoardPeriod.YEAR, "2024-01-01"), (BoardPeriod.MONTH, "2024-08-01")):
        reader = Asked(registry)
        figures = BoardFigures(reader, indicator=INDICATORS["I1"], clock=ManualClock(NOW))
        figures.read(period)
        today = [("minutes", 1, 17), (earlier, "2024-08-19")]  # 17:00 UTC is midnight
        assert reader.calls[-3:] == ["last events", *today], period
    reader.calls.clear()
    newest_counts_of_days(reader, Period(dt.date(2024, 8, 20), dt.date(2024, 8, 31)), dt.date(2024, 8, 20))
    newest_counts_of_days(reader, Period(dt.date(2024, 8, 1), dt.date(2024, 8, 19)), dt.date(2024, 8, 20))
    assert reader.calls == [today[0], ("2024-08-21", "2024-08-31"), ("2024-08-01", "2024-08-19")]


def test_a_sparkline_is_a_rolling_rate():
    """Sums are divided; days without data are a gap and not zero."""
    days = [Ratio(1, 10)] * 7 + [Ratio(0, 0)] * 7 + [Ratio(3, 9)]
    assert rolling(days) == [1000, 1000, 1000, 1000, 1000, 1000, 1000, None, 3333]


def test_a_part_rests_as_long_as_its_reading_took():
    """A slow storage is asked less often, so that the board never takes more than its share."""
    now, calls = [0.0], []

    def read():
        calls.append(now[0])
        now[0] += 2.0
        return len(calls)

    paced = Paced(read, interval=1, rest=3, monotonic=lambda: now[0])
    assert [paced.get(), paced.get()] == [1, 1]
    now[0] = 7.9
    assert paced.get() == 1
    now[0] = 8.0
    assert paced.get() == 2


def test_changes_and_merging_are_each_other_s_opposite(registry):
    """A page that merges every change has the newest snapshot; where units come or go a snapshot is due."""
    reader = BoardReader(registry)
    before = snapshot_of(reader, registry)
    reader.ratios["H17"] = (1481, 4001)
    after = snapshot_of(reader, registry)
    found = changes(before, after)
    assert set(found["agencies"]) == {"H17"}
    assert len(str(found)) < 1500
    assert merged(before, found) == after
    reader.now = dt.datetime(2025, 8, 20, 8, tzinfo=dt.UTC)
    assert changes(before, snapshot_of(reader, registry)) is None
