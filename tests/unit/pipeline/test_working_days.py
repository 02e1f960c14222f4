"""The file of working days and days off that a decree exchanges."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.errors import ConfigurationError
from domain.working_days_file import read_working_days
from pipeline.settings import load_settings
from pipeline.working_days import working_days_of


def test_exchanged_days_are_read(tmp_path):
    """A Saturday becomes a working day and a Friday a day off; without a file no day is exchanged."""
    file = tmp_path / "days.csv"
    file.write_bytes("\ufeffday,kind\n2026-01-10,working\n\n2026-01-02 , off\n".encode())
    days = working_days_of(load_settings(indicators={"working_days_file": str(file)}))
    assert days.is_working(dt.date(2026, 1, 10))
    assert not days.is_working(dt.date(2026, 1, 2))
    assert not working_days_of(load_settings()).is_working(dt.date(2026, 1, 10))


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "line 1"),
        (b"day;kind\n", "line 1"),
        (b"\xff", "UTF-8"),
        (b"day,kind\n2026-01-10\n", "line 2"),
        (b"day,kind\n2026-02-30,off\n", "line 2"),
        (b"day,kind\n2026-01-10,holiday\n", "line 2"),
        (b"day,kind\n2026-01-10,off\n2026-01-10,working\n", "line 3"),
    ],
)
def test_a_wrong_file_is_refused(content, place):
    """The error names the file, the line and the form."""
    with pytest.raises(ConfigurationError, match=r"days\.csv") as caught:
        read_working_days(content, name="days.csv")
    assert place in str(caught.value)
    assert caught.value.remedy


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """With the variable that names it."""
    with pytest.raises(ConfigurationError, match="PORTALPULSE_INDICATORS__WORKING_DAYS_FILE"):
        working_days_of(load_settings(indicators={"working_days_file": str(tmp_path / "missing.csv")}))
