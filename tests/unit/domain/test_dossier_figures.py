"""Balance, due dates, formula 2.1 of the 766 index and accepted late: worked examples and a bulletin that was published."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from domain.acceptance import accepted_late
from domain.agencies import AgencyRegistry
from domain.balance import Balance, balance
from domain.dossiers import judge
from domain.due_dates import DueResult, Result766, SettledResult, by_766, by_due_day, of_the_settled
from domain.errors import ConfigurationError
from domain.events import Channel
from domain.indicators import Ratio
from domain.periods import VIETNAM, Period, civil_day
from domain.rounding import Rounding, percent
from domain.working_days import WorkingDays
from tests import cases
from tests.factories import an_event

REGISTRY = AgencyRegistry.packaged()
MARCH = Period(dt.date(2025, 3, 1), dt.date(2025, 3, 31))
TODAY = dt.date(2026, 1, 1)


def at(text):
    """A time of 2025 in Viet Nam: 03-14 or 03-14 08:30."""
    day, _, time = text.partition(" ")
    return dt.datetime.fromisoformat(f"2025-{day}T{time or '09:00'}").replace(tzinfo=VIETNAM).astimezone(dt.UTC)


def a_dossier(*events, due=None, **fields):
    """A dossier of (status, time) pairs; ``due`` is sent with the first event."""
    sent = [an_event(status=status, occurred_at=at(time), dossier_code="H17-250301-0001", **fields) for status, time in events]
    if due is not None:
        sent[0] = an_event(
            status=events[0][0], occurred_at=at(events[0][1]), dossier_code="H17-250301-0001", due_at=at(due), **fields
        )
    return judge(sent)


# ---- a published bulletin


def test_the_bulletin_of_vinh_phuc():
    """September 2021: 6.302 = 4.131 + 2.171, 4.157 of 4.169 = 99,71 % on time, 90 given back, 1.598 online (61 + 1.537)."""
    period = Period(dt.date(2021, 9, 1), dt.date(2021, 9, 30))
    checks = {each["indicator"]: each for each in cases.EXPECTED["checks"] if each.get("file", "").startswith("16_")}
    found, total = Counter(), Balance()
    for messages in cases.dossiers("16_vinh_phuc_2021_09.ndjson.gz", REGISTRY).values():
        dossier = judge(messages)
        part = balance(dossier, period)
        total += part
        due = by_due_day(dossier, period, today=TODAY)
        found.update({"due": due is not None, "on_time": due is DueResult.ON_TIME})
        found["late_or_overdue"] += due is DueResult.LATE_OR_OVERDUE
        if part.received and dossier.online:
            level = next((event.legacy_level for event in dossier.events if event.legacy_level), 0)
            found.update({"online": 1, f"online_level_{level}": 1})
    found |= Counter(received=total.received, carried_over=total.carried_over, in_hand=total.in_hand)
    found["given_back_or_withdrawn"] = total.given_back
    for name in checks.keys() - {"I5"}:
        check = checks[name]
        assert found[name] == check["numerator"], name
        if "denominator" in check:
            assert found["due"] == check["denominator"]
            printed = percent(Ratio(found[name], found["due"]), rounding=Rounding.HALF_UP)
            assert check["printed"]["text"] == f"{printed.replace('.', ',')}%"
    assert len(checks) == 11


# ---- balance


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(1, "03-01"), (2, "03-02"), (9, "03-31 23:59")], Balance(received=1, settled=1)),
        ([(1, "02-28 23:59"), (9, "03-01 00:00")], Balance(carried_over=1, settled=1)),
        ([(1, "02-28"), (9, "02-28")], Balance()),
        ([(1, "03-05"), (9, "04-01 00:00")], Balance(received=1, open=1)),
        ([(1, "02-01"), (3, "03-02"), (10, "03-03")], Balance(carried_over=1, given_back=1)),
        ([(1, "02-01"), (3, "03-02"), (1, "03-03")], Balance(carried_over=1, open=1)),
        ([(1, "04-01 00:00")], Balance()),
    ],
)
def test_the_balance_of_a_dossier(events, expected):
    """A dossier is in hand from submitted until it closes; a dossier that is taken up again is open again."""
    assert balance(a_dossier(*events), MARCH) == expected


# ---- due dates


@pytest.mark.parametrize(
    ("events", "due", "expected"),
    [
        ([(2, "03-01"), (9, "03-10 23:59")], "03-10", DueResult.ON_TIME),
        ([(2, "03-01"), (9, "03-11 00:00")], "03-10", DueResult.LATE_OR_OVERDUE),
        ([(2, "03-01")], "03-10", DueResult.LATE_OR_OVERDUE),
        ([(2, "03-01"), (8, "03-10")], "03-10", None),
        ([(2, "03-01"), (8, "03-11")], "03-10", DueResult.LATE_OR_OVERDUE),
        ([(2, "02-01"), (9, "02-02")], "03-10", DueResult.ON_TIME),
        ([(2, "03-01"), (9, "03-02")], "04-01", None),
        ([(2, "03-01"), (9, "03-02")], None, None),
    ],
)
def test_by_due_day(events, due, expected):
    """Dossiers that fell due in the period, without those given back on or before the due day."""
    assert by_due_day(a_dossier(*events, due=due), MARCH, today=TODAY) is expected


def test_a_due_day_that_is_not_over_counts_for_nothing():
    """Today's due day is not over: nobody is late yet, and nobody on time."""
    dossier = a_dossier((2, "03-01"), (9, "03-02"), due="03-10")
    assert by_due_day(dossier, MARCH, today=dt.date(2025, 3, 10)) is None
    assert by_due_day(dossier, MARCH, today=dt.date(2025, 3, 11)) is DueResult.ON_TIME


@pytest.mark.parametrize(
    ("settled", "due", "expected"),
    [
        ("03-09", "03-10", SettledResult.BEFORE_DUE),
        ("03-10 00:01", "03-10 17:00", SettledResult.ON_DUE),
        ("03-11", "03-10", SettledResult.AFTER_DUE),
        ("03-11", None, SettledResult.NO_DUE_DATE),
        ("04-01", "03-10", None),
    ],
)
def test_of_the_settled(settled, due, expected):
    """Dossiers that were settled in the period, by the civil days of both."""
    assert of_the_settled(a_dossier((2, "03-01"), (9, settled), due=due), MARCH) is expected


# ---- the 766 index

ON_TIME, LATE = Result766.ON_TIME, Result766.LATE


@pytest.mark.parametrize(
    ("events", "due", "expected"),
    [
        ([(1, "03-01")], "03-10", None),  # not accepted
        ([(2, "03-01"), (9, "03-10")], "03-10", ON_TIME),
        ([(2, "03-01"), (9, "03-11")], "03-10", LATE),
        ([(2, "03-01"), (4, "03-02")], "03-10", LATE),  # still open at the end of the period
        ([(2, "03-01"), (4, "03-02")], "03-31", ON_TIME),
        ([(2, "03-01"), (9, "04-02")], "03-31", ON_TIME),  # what comes later is not read
        # It waited three days for a supplement.
        ([(2, "03-01"), (5, "03-05"), (4, "03-08"), (9, "03-13")], "03-10", ON_TIME),
        ([(2, "03-01"), (5, "03-05"), (4, "03-08"), (9, "03-14")], "03-10", LATE),
        # Several 5 in succession are one, at the first of them.
        ([(2, "03-01"), (5, "03-05"), (5, "03-07"), (4, "03-08"), (9, "03-13")], "03-10", ON_TIME),
        # One open request stops the clock there; with two the dossier is late.
        ([(2, "03-01"), (5, "03-05")], "03-10", ON_TIME),
        ([(2, "03-01"), (5, "03-05"), (5, "03-06")], "03-10", ON_TIME),
        ([(2, "03-01"), (5, "03-05"), (4, "03-06"), (5, "03-07")], "03-10", LATE),
        # Given back: the first of the 3, 7 and 8 after which it is not taken up again.
        ([(2, "03-01"), (8, "03-09"), (8, "03-12")], "03-10", ON_TIME),
        ([(2, "03-01"), (8, "03-09"), (4, "03-10"), (8, "03-12")], "03-10", LATE),
        ([(2, "03-01"), (10, "03-10")], "03-10", ON_TIME),
        ([(2, "03-01")], None, Result766.NO_DUE_DATE),
    ],
)
def test_formula_of_the_766_index(events, due, expected):
    """End minus waiting is not after the due day; the end depends on what the dossier shows by the end of the period."""
    assert by_766(a_dossier(*events, due=due), MARCH) is expected


@pytest.mark.parametrize(("settled", "expected"), [("03-08", ON_TIME), ("03-09", LATE)])
def test_without_a_due_date_the_longest_time_of_the_catalogue_counts(settled, expected):
    """From the first 2 to the end, without waiting, at most the longest time of the procedure in calendar days."""
    dossier = a_dossier((1, "03-01"), (2, "03-03"), (9, settled))
    assert by_766(dossier, MARCH, longest_days=5) is expected


# ---- accepted late

DECREE = Period(dt.date(2025, 7, 1), dt.date(2025, 12, 31))
FRIDAY, NATIONAL_DAY = "08-29", dt.date(2025, 9, 2)


@pytest.mark.parametrize(
    ("events", "today", "late"),
    [
        ([(1, "07-03"), (2, "07-04 23:59")], "2026-01-01", False),
        ([(1, "07-03"), (2, "07-05 00:00")], "2026-01-01", True),
        ([(1, "07-03"), (1, "07-04"), (2, "07-07")], "2026-01-01", True),  # another 1 does not answer
        ([(1, "07-03"), (5, "07-04")], "2026-01-01", False),
        # Friday before the National Day: Monday and Tuesday are holidays.
        ([(1, FRIDAY), (2, "09-03")], "2026-01-01", False),
        ([(1, FRIDAY), (2, "09-04")], "2026-01-01", True),
        ([(1, "07-03")], "2025-07-04", False),
        ([(1, "07-03")], "2025-07-05", True),
        ([(2, "07-03")], "2026-01-01", None),
        ([(1, "06-30"), (2, "07-30")], "2026-01-01", None),
    ],
)
def test_accepted_late(events, today, late):
    """Late when nobody answered by the end of the first working day after the submission; from 1 July 2025 on."""
    dossier = a_dossier(*events, channel=Channel.ONLINE)
    today = dt.date.fromisoformat(today)
    assert accepted_late(dossier, DECREE, today=today, working_days=WorkingDays()) is late


def test_only_online_dossiers_are_accepted_late():
    """A dossier that was handed in is not in the base."""
    dossier = a_dossier((1, "07-03"), channel=Channel.IN_PERSON)
    assert accepted_late(dossier, DECREE, today=TODAY, working_days=WorkingDays()) is None


def test_working_days():
    """Monday to Friday without public holidays; a decree exchanges days; a year without a table is an error."""
    days = WorkingDays(working=frozenset({dt.date(2025, 9, 6)}), off=frozenset({dt.date(2025, 9, 4)}))
    assert WorkingDays().next_after(dt.date(2025, 8, 29)) == dt.date(2025, 9, 3)
    assert days.next_after(dt.date(2025, 9, 3)) == dt.date(2025, 9, 5)
    assert days.next_after(dt.date(2025, 9, 5)) == dt.date(2025, 9, 6)
    assert not WorkingDays().is_working(NATIONAL_DAY)
    with pytest.raises(ConfigurationError, match="holidays of 2150"):
        WorkingDays().is_working(dt.date(2150, 3, 2))


def test_civil_days_of_the_examples():
    """The times of this file are those of Viet Nam."""
    assert civil_day(at("03-10 00:00")) == dt.date(2025, 3, 10)
