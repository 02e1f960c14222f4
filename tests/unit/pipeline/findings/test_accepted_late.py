"""Accepted late for the metrics: which days are judged, and for whom dossiers count."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.agencies import AgencyRegistry
from domain.working_days import WorkingDays
from pipeline.findings.accepted_late import AcceptedLate

REGISTRY = AgencyRegistry.packaged()


class Reader:
    """Keeps the question and answers with stored units."""

    question = None

    def counts(self, group, question):
        assert group == "accepted-late"
        self.question = question
        return {
            ("H17", ""): {"accepted_late": 1, "registered_online": 9},
            ("H47", ""): {"accepted_late": 2, "registered_online": 5},  # Quảng Nam, merged into Đà Nẵng
            ("Z99", ""): {"accepted_late": 9, "registered_online": 9},
        }


def day(text):
    """A civil day."""
    return dt.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("today", "first", "last"),
    [
        ("2026-11-19", "2026-11-11", "2026-11-17"),  # a Thursday: those of Tuesday could be answered until yesterday
        ("2026-11-16", "2026-11-06", "2026-11-12"),  # a Monday: those of Friday have the whole day
        ("2026-11-17", "2026-11-09", "2026-11-15"),
        ("2025-07-05", "2025-07-01", "2025-07-03"),  # the decree applies from 1 July 2025 on
    ],
)
def test_only_days_whose_answers_are_over_are_judged(today, first, last):
    """Seven days, the last of which has had its working day of grace; merged units count for their successor."""
    reader = Reader()
    found = AcceptedLate(reader, REGISTRY, WorkingDays())(day(today))
    assert found == {"H17": (3, 14)}
    assert (reader.question.period.start, reader.question.period.end) == (day(first), day(last))
    assert all(deadline < day(today) for deadline in reader.question.deadlines.values())


def test_where_nothing_can_be_judged_nothing_is_told():
    """Before the decree, and in a year without known holidays, there are no figures."""
    for today in ("2025-07-02", "1999-05-05"):
        assert AcceptedLate(Reader(), REGISTRY, WorkingDays())(day(today)) == {}
