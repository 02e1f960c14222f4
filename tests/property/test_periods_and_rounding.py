"""Civil periods and printed percentages, compared with independent arithmetic."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import ConfigurationError
from domain.indicators import Ratio
from domain.periods import VIETNAM, Period, Window, civil_day, day_start, parse_day, parse_instant
from domain.rounding import Rounding, change_in_percent, change_in_points, percent, vietnamese

SEVEN = dt.timedelta(hours=7)
instants = st.datetimes(
    dt.datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis requires bounds without a zone
    dt.datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(dt.UTC),
)
days = st.dates(dt.date(1990, 1, 1), dt.date(2100, 1, 1))


@given(instants, st.sampled_from([0, 7, -5]))
def test_a_civil_day_is_the_utc_day_seven_hours_on(instant, hours):
    """The local day is the day of the instant plus seven hours, whatever zone the instant is written in."""
    shown = instant.astimezone(dt.timezone(dt.timedelta(hours=hours)))
    assert civil_day(shown) == (instant + SEVEN).date()


@given(days)
def test_a_day_starts_where_the_day_before_ends(day):
    """Local midnight is 17:00 UTC, belongs to the new day, and the microsecond before it does not."""
    start = day_start(day)
    assert start == dt.datetime.combine(day, dt.time(), dt.UTC) - SEVEN
    assert civil_day(start) == day
    assert civil_day(start - dt.timedelta(microseconds=1)) == day - dt.timedelta(days=1)


@given(days, st.integers(0, 800))
def test_a_period_is_its_days_and_nothing_else(first, length):
    """The instants of a period are exactly those of its days, including the first and the last day."""
    last = first + dt.timedelta(days=length)
    period = Period(first, last)
    start, end = period.instants()
    assert period.days == length + 1
    assert end - start == dt.timedelta(days=length + 1)
    assert (civil_day(start), civil_day(end - dt.timedelta(microseconds=1))) == (first, last)


@given(days)
def test_a_period_backwards_is_refused(day):
    """A period that ends before it starts is an error with a remedy."""
    with pytest.raises(ConfigurationError, match="Swap"):
        Period(day, day - dt.timedelta(days=1))


@given(instants, st.sampled_from(list(Window)))
@example(dt.datetime(2023, 12, 31, 16, 59, 59, tzinfo=dt.UTC), Window.YEAR)
@example(dt.datetime(2023, 12, 31, 17, tzinfo=dt.UTC), Window.YEAR)
@example(dt.datetime(2024, 2, 29, 17, tzinfo=dt.UTC), Window.MONTH)
def test_windows_end_with_now(now, window):
    """A window contains now and consists of whole minutes; a civil window begins at local midnight on the first."""
    start, end = window.bounds(now)
    assert start < end
    assert start <= now < end
    assert (start.second, start.microsecond, end.second, end.microsecond) == (0, 0, 0, 0)
    period = window.period(now)
    lengths = {Window.HOUR: 1, Window.DAY: 24, Window.WEEK: 7 * 24, Window.MONTH_OF_DAYS: 30 * 24}
    if window in lengths:
        assert period is None
        assert end - start == dt.timedelta(hours=lengths[window])
        assert end - now <= dt.timedelta(minutes=1)
    else:
        assert period.instants() == (start, end)
        assert period.end == civil_day(now)
        assert (period.start.day, period.start.year) == (1, period.end.year)
        assert period.start.month == (1 if window is Window.YEAR else period.end.month)


counts = st.integers(0, 10**13)


def rounded(ratio: Ratio, decimals: int, rounding: Rounding) -> Fraction:
    """The expected value, computed with whole numbers."""
    scaled = Fraction(100 * ratio.numerator * 10**decimals, ratio.denominator)
    whole = scaled.numerator // scaled.denominator
    if rounding is Rounding.HALF_UP and scaled - whole >= Fraction(1, 2):
        whole += 1
    return Fraction(whole, 10**decimals)


@given(counts, counts.filter(bool), st.integers(0, 4), st.sampled_from(list(Rounding)))
@example(380, 1709, 2, Rounding.CUT)
@example(1, 8, 0, Rounding.HALF_UP)
@example(1, 800, 2, Rounding.HALF_UP)
@example(10**12 + 1, 2 * 10**12, 4, Rounding.HALF_UP)
def test_percent_is_exact(numerator, denominator, decimals, rounding):
    """A printed percentage is the exact value, rounded once to the requested decimals."""
    printed = percent(Ratio(numerator, denominator), decimals=decimals, rounding=rounding)
    assert Fraction(Decimal(printed)) == rounded(Ratio(numerator, denominator), decimals, rounding)
    assert len(printed.partition(".")[2]) == decimals
    assert "E" not in printed


@pytest.mark.parametrize(
    ("numerator", "denominator", "decimals", "rounding", "printed"),
    [
        (380, 1709, 2, Rounding.CUT, "22.23"),
        (380, 1709, 2, Rounding.HALF_UP, "22.24"),
        (3500, 33680, 1, Rounding.CUT, "10.3"),
        (3247, 5000, 2, Rounding.HALF_UP, "64.94"),
        (48, 965, 1, Rounding.HALF_UP, "5.0"),
        (0, 12, 2, Rounding.HALF_UP, "0.00"),
        (12, 12, 0, Rounding.HALF_UP, "100"),
    ],
)
def test_percentages_as_published(numerator, denominator, decimals, rounding, printed):
    """Figures of published documents come out as they were printed."""
    assert percent(Ratio(numerator, denominator), decimals=decimals, rounding=rounding) == printed


def test_nothing_counted_is_not_zero():
    """0 of 0 has no percentage; 0 of 1 is zero."""
    assert percent(Ratio(0, 0)) is None
    assert Ratio(0, 0).no_data
    assert percent(Ratio(0, 1)) == "0.00"
    assert not Ratio(0, 1).no_data


@given(st.integers(0, 10**15), st.integers(0, 4), st.integers(0, 9999))
def test_vietnamese_numbers(whole, decimals, fraction):
    """Dots group thousands, a comma separates the decimals, and nothing else changes."""
    digits = f"{fraction:04d}"[:decimals]
    shown = vietnamese(f"{whole}.{digits}" if digits else str(whole))
    head, _, tail = shown.partition(",")
    assert tail == digits
    groups = head.split(".")
    assert int("".join(groups)) == whole
    assert all(len(group) == 3 for group in groups[1:])
    assert 1 <= len(groups[0]) <= 3


def test_vietnamese_as_published():
    """43.369 dossiers and 15,16 %."""
    assert vietnamese("43369") == "43.369"
    assert vietnamese("15.16") == "15,16"
    assert vietnamese("1234567.5") == "1.234.567,5"


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), max_size=10))
def test_ratios_pool(pairs):
    """Adding ratios adds numerators and denominators, in any order."""
    total = sum((Ratio(*pair) for pair in pairs), Ratio(0, 0))
    assert total == Ratio(sum(n for n, _ in pairs), sum(d for _, d in pairs))


@pytest.mark.parametrize(
    "text", ["2024-W33", "2024-W33-1", "20240820", "2024-233", "２０２４-08-20", "2024-08-20T00:00", " 2024-08-20", ""]
)
def test_a_day_has_one_form(text):
    """Only YYYY-MM-DD is a day. An ISO 8601 week is refused: it would silently mean its Monday."""
    with pytest.raises(ValueError, match="2024-08-20"):
        parse_day(text)
    assert parse_day("2024-02-29") == dt.date(2024, 2, 29)


@pytest.mark.parametrize(
    "text",
    [
        *("2024-W33", "2024-W33-1", "2024-W33T08:00", "20240820", "20240820T0800", "2024-08-20T08", "2024-08-20x08:00"),
        *(
            "2024-08-20T0800",
            "2024-08-20T08:00+7",
            "2024-08-20T08:00 +07:00",
            "２０２４-08-20",
            "2024-02-30",
            "2024-08-20T25:00",
            "",
        ),
    ],
)
def test_a_time_has_one_form(text):
    """A week is not a time either, nor what ISO 8601 writes without hyphens and colons."""
    with pytest.raises(ValueError, match=r"."):
        parse_instant(text)


@given(st.datetimes(timezones=st.sampled_from([None, dt.UTC, VIETNAM, dt.timezone(dt.timedelta(hours=-5, minutes=-30))])))
def test_a_time_survives_being_written(instant):
    """What the standard library writes is read back, whole seconds and years before time zones included."""
    for text in (instant.isoformat(), instant.isoformat(sep=" "), instant.isoformat().replace("+00:00", "z").lower()):
        assert parse_instant(text) == instant
    assert parse_instant(f"{instant.date()}") == dt.datetime.combine(instant.date(), dt.time())


ratios = st.builds(lambda part, rest: Ratio(part, part + rest), st.integers(0, 10**9), st.integers(0, 10**9))


@given(ratios, ratios, st.integers(0, 4))
@example(Ratio(1, 3), Ratio(1, 3), 2)
@example(Ratio(2, 3), Ratio(1, 3), 2)
def test_a_change_in_points_is_the_exact_difference_cut_towards_zero(before, after, decimals):
    """The difference is computed before it is cut: never the difference of two printed rates."""
    printed = change_in_points(before, after, decimals=decimals)
    if before.no_data or after.no_data:
        assert printed is None
        return
    exact = 100 * (Fraction(after.numerator, after.denominator) - Fraction(before.numerator, before.denominator))
    shown = Fraction(Decimal(printed))
    assert abs(shown) <= abs(exact) < abs(shown) + Fraction(1, 10**decimals)
    assert shown * exact >= 0
    assert printed[0] == {True: "+", False: "-"}[shown > 0] if shown else printed[0] == "0"


def test_points_and_percent_are_two_things():
    """From 12 % to 24 % are 12 points and 100 percent; from nothing there is no percentage of change."""
    assert change_in_points(Ratio(12, 100), Ratio(24, 100)) == "+12.00"
    assert change_in_percent(Ratio(12, 100), Ratio(24, 100)) == "+100.00"
    assert change_in_percent(Ratio(0, 100), Ratio(24, 100)) is None
    assert vietnamese(change_in_points(Ratio(5, 100), Ratio(672, 10_000))) == "+1,72"
    assert vietnamese(change_in_points(Ratio(672, 10_000), Ratio(5, 100))) == "-1,72"
