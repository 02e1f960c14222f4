"""The recipients file: the example is right, and every error names line and remedy."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from dashboards.notify.office import is_open, opens_next
from dashboards.notify.recipients import OfficeHours
from dashboards.notify.recipients_file import EXAMPLE, parse_recipients, read_recipients
from domain.agencies import AgencyRegistry
from domain.errors import ConfigurationError
from domain.periods import VIETNAM

DAY = dt.date(2026, 11, 27)
TEXT = EXAMPLE.read_text(encoding="utf-8")


def parse(text):
    """The people of a text."""
    return parse_recipients(text, AgencyRegistry.packaged(), day=DAY, name="r.yaml", folder=Path())


def test_the_example_is_right():
    """The example is read: agencies by code and block, times, ids that look like numbers."""
    directory = read_recipients(EXAMPLE, AgencyRegistry.packaged(), day=DAY)
    assert directory.agencies["H17"] == ("dau-moi-h17",)
    assert directory.agencies["G02"] == ("observer",)
    assert directory.default == ("truc-van-hanh",)
    person = directory.person("truc-van-hanh")
    assert person.channels.names == ("mail", "telegram")
    assert person.channels.telegram == ("-1001000000001",)
    assert directory.person("dau-moi-h17").escalation.after == dt.timedelta(hours=4)
    with pytest.raises(ConfigurationError, match="The file has truc-van-hanh"):
        directory.person("nobody")


def test_all_reaches_every_agency():
    """`all` stands for every agency in force, a block for its agencies."""
    registry = AgencyRegistry.packaged()
    directory = parse(TEXT.replace("agencies: [ministries]", "agencies: [all]"))
    assert set(directory.agencies) == {agency.code for agency in registry.in_force(DAY)}
    assert all("observer" in keys for keys in directory.agencies.values())


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("from: 07:30", "from: 7.30", "from: 7.30", "'7.30' is not a time of day. Write 07:30."),
        ("to: 17:30", "to: 07:00", "office_hours:", "'from' must be before 'to'"),
        ("[H17]", "[H34]", "agencies: [H34]", "agency H34 was merged into H48. Write H48."),
        ("[H17]", "[Z99]", "agencies: [Z99]", "there is no agency 'Z99' now. Write codes such as H17"),
        ("agencies: [H17]", "agancies: [H17]", "agancies:", "'agancies' is not a field of this section."),
        ("after: 4h", "after: soon", "after: soon", "'soon' is not a time. Write 4h or 90m."),
        ("after: 4h", "after: 400h", "escalation:", "'after' may be at most 100h"),
        ("to: lanh-dao-h17", "to: x", "to: x", "there is no recipient 'x'. The file has"),
        ("to: lanh-dao-h17", "to: dau-moi-h17", "to: dau-moi-h17", "cannot be the own superior. Name another"),
        ("language: en", "language: fr", "language: fr", "language must be vi or en."),
        ('"-1001000000001"', "abc", "telegram: abc", "not the id of a Telegram chat. Write a number"),
        ("operations: [truc-van-hanh]", "operations: []", "operations:", "operations must not be empty."),
        ("operations: [truc-van-hanh]", "operations: [a]", "operations:", "there is no recipient 'a'."),
        ("default: []", "default: [b]", "default:", "there is no recipient 'b'."),
        ("mail: lanhdao@example.vn", "mail: lanhdao", "mail: lanhdao", "is not a mail address. Write one as"),
        ("holidays: []", "holidays: [Tết]", "holidays:", "a day is written 2027-02-05."),
        ("    name: Lãnh đạo đơn vị\n", "", "lanh-dao-h17:", "the field 'name' is missing. Add it."),
        ("  security: starttls", "  security: ssl", "security: ssl", "must be starttls, tls or none"),
        (":587", "", "server:", "is not a server. Write host:port"),
        ("default: []", "default: ]", "default: ]", "it is not YAML"),
        ("default: []", "operations: [truc-van-hanh]", None, "'operations' is written a second time."),
        ("  observer:\n", "  Quan sát:\n", "Quan sát:", "is not an id. Use small letters"),
        ("  observer:\n", "  a/b:\n", "a/b:", "is not an id. Use small letters"),
        (
            "webhook: https://example.org/hooks/portalpulse",
            "webhook: hooks",
            "webhook: hooks",
            "not an address. Write http",
        ),
        ("recipients:\n", "recipients: {}\nx:\n", None, "line"),
        (TEXT, "", None, "the field 'operations' is missing"),
        (TEXT, "- a", None, "wrong form"),
        (TEXT, "a: &a [*a]", None, "contains itself"),
        (TEXT, "a: \x07", None, "is not YAML"),
    ],
)
def test_an_error_names_line_and_remedy(old, new, line, said):
    """Whatever is wrong, the error says in which line, what, and what to write instead; nothing is a traceback."""
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("r.yaml")
    if line is not None:
        number = next(n for n, content in enumerate(text.splitlines(), 1) if line in content)
        assert f"r.yaml, line {number}: " in str(caught.value), str(caught.value)


@pytest.mark.parametrize(("section", "said"), [("mail", "mail needs"), ("telegram", "telegram needs")])
def test_a_channel_needs_its_section(section, said):
    """Mail without a server and Telegram without a bot are found before the first alert."""
    start = TEXT.index(f"\n{section}:")
    end = TEXT.index("\n\n", start)
    with pytest.raises(ConfigurationError, match=said):
        parse(TEXT[:start] + TEXT[end:])


def test_a_file_that_cannot_be_read(tmp_path):
    """A missing file and one that is not UTF-8 are errors of one sentence that name the example."""
    (tmp_path / "b.yaml").write_bytes(b"\xff")
    for name in ("a.yaml", "b.yaml", "."):
        with pytest.raises(ConfigurationError, match="portalpulse alerts example"):
            read_recipients(tmp_path / name, AgencyRegistry.packaged(), day=DAY)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-11-27T07:29:59", "2026-11-27T07:30"),
        ("2026-11-27T07:30", None),
        ("2026-11-27T17:29:59", None),
        ("2026-11-27T17:30", "2026-11-30T07:30"),  # Friday evening
        ("2026-11-29T22:00", "2026-11-30T07:30"),  # Sunday night
        ("2027-02-05T09:00", "2027-02-11T07:30"),  # Tết
        ("2026-12-31T18:00", "2027-01-04T07:30"),
        ("2026-12-12T09:00", None),  # a Saturday that a decree made a working day
        ("2026-12-14T09:00", "2026-12-15T07:30"),  # a day off of the file
    ],
)
def test_office_hours(at, opens):
    """Office hours know nights, weekends, public holidays and the days of the file, in the time of Viet Nam."""
    days = {"holidays": [dt.date(2026, 12, 14)], "working_days": [dt.date(2026, 12, 12)]}
    hours = OfficeHours.model_validate(days)
    instant = dt.datetime.fromisoformat(at).replace(tzinfo=VIETNAM).astimezone(dt.UTC)
    assert is_open(hours, instant) == (opens is None)
    wanted = instant if opens is None else dt.datetime.fromisoformat(opens).replace(tzinfo=VIETNAM)
    assert opens_next(hours, instant) == wanted


def test_office_hours_without_a_working_day():
    """Hours that never open are an error, not a message that is never sent without a word."""
    days = [dt.date(2026, 11, 1) + dt.timedelta(days=number) for number in range(120)]
    with pytest.raises(ConfigurationError, match="no working day"):
        opens_next(OfficeHours.model_validate({"holidays": days}), dt.datetime(2026, 11, 27, tzinfo=VIETNAM))
