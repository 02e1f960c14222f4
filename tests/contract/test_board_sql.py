"""Every SQL of the Grafana boards on both engines: it returns data, and its rates are those of the report."""

from __future__ import annotations

import datetime as dt

from domain.agencies import AgencyRegistry
from domain.indicators import Ratio
from domain.periods import VIETNAM, day_start
from domain.rounding import percent
from sinks.clickhouse.registry_writer import write_agencies
from sinks.contract.dead_letters import DeadLetter
from sinks.contract.tallies import Days
from tests.board_queries import board_sql
from tests.contract.clustered import home_of, storage_of
from tests.contract.store_suite import EVER
from tests.contract.test_catalogue import an_entry
from tests.contract.test_store import in_clickhouse
from tests.factories import an_event, rows_of

FIRST = dt.date(2024, 3, 4)
#: Dossiers of each day, and how many of them are fully online; the third day has none.
DAYS = {0: (965, 48), 1: (600, 30), 3: (7, 5)}
NAMES = {"1.000001": "Cấp đất", "1.001612": "Đăng ký kinh doanh"}


def stored(clickhouse):
    """Store tallies of H17 (a province) and G02 (a ministry), a catalogue, dead letters, and the registry."""
    sink = in_clickhouse(clickhouse)
    events = [
        an_event(
            agency=agency,
            occurred_at=day_start(FIRST + dt.timedelta(days=day)) + dt.timedelta(hours=9, milliseconds=number),
            procedure_code="1.000001" if number % 2 else "1.001612",
            service_level="toan_trinh" if number < online else "mot_phan",
        )
        for agency, days in (("H17", DAYS), ("G02", {0: (100, 99)}))
        for day, (dossiers, online) in days.items()
        for number in range(dossiers)
    ]
    sink.store.insert_events(rows_of(events))
    sink.store.recount_minutes(EVER)
    every = Days(tuple(FIRST + dt.timedelta(days=day) for day in range(4)))
    sink.store.roll_up_days(every)
    sink.store.recount_procedures(every)
    sink.store.insert_dead_letters([DeadLetter("t", 0, number, b"k", b"{", "not_json", "broken") for number in range(3)])
    storage_of(clickhouse).catalogue().load([an_entry(code, "H17", name=name) for code, name in NAMES.items()])
    write_agencies(home_of(clickhouse), AgencyRegistry.packaged())


def rates(rows, column=1):
    """Days of Viet Nam -> the rate in a column, as it is printed; None where there is none."""
    return {row[0].astimezone(VIETNAM).date(): None if row[column] is None else f"{row[column]:.2f}" for row in rows}


def test_every_query_returns_what_the_report_says(clickhouse):
    """Each query has rows; every rate is cut from the right counts; without dossiers there is no rate."""
    stored(clickhouse)
    now = dt.datetime.now(tz=dt.UTC)
    hour = dt.timedelta(hours=1)
    ranges = (day_start(FIRST - dt.timedelta(days=2)), day_start(FIRST + dt.timedelta(days=4))), (now - hour, now + hour)
    answers = {}
    for asked in ranges:
        for query in board_sql(*asked):
            answers[query.name] = answers.get(query.name) or clickhouse.rows("test", query.sql)
    assert [name for name, rows in answers.items() if not rows] == []

    of_week = lambda day: Ratio(  # noqa: E731
        sum(online for number, (_, online) in DAYS.items() if number <= day),
        sum(all_ for number, (all_, _) in DAYS.items() if number <= day),
    )
    expected = {FIRST + dt.timedelta(days=day): percent(of_week(day)) for day in range(-2, 5)}
    assert rates(answers["agency_history"]) == expected
    assert expected[FIRST] == "4.97"  # 48 of 965, which would be rounded to 4.98
    assert expected[FIRST - dt.timedelta(days=1)] is None
    assert [row[2] for row in answers["agency_history"]] == [0, 0, 965, 600, 0, 7, 0]
    assert rates(answers["nation_history"])[FIRST] == percent(Ratio(48 + 99, 965 + 100))
    month = dt.date(2024, 3, 1)
    assert rates(answers["months"]) == {month: percent(Ratio(83 + 99, 1572 + 100))}
    assert rates(answers["months"], 2) == {month: "99.00"}
    assert rates(answers["months"], 3) == {month: percent(Ratio(83, 1572))}

    procedures = {row[0]: row[1:] for row in answers["procedures"]}
    assert {code: row[0] for code, row in procedures.items()} == NAMES
    assert sum(row[1] for row in procedures.values()) == 1572
    assert [f"{row[3]:.2f}" for row in procedures.values()] == [percent(Ratio(row[2], row[1])) for row in procedures.values()]
    assert sum(row[1] for row in answers["events_by_hour"]) == 1672
    assert [row[:2] for row in answers["dead_letter_reasons"]] == [("not_json", 3)]
    assert [row[1:5] for row in answers["dead_letters_newest"]] == [("not_json", "t", 0, offset) for offset in range(3)]
    assert {"agency_day", "dossier_messages"} <= {row[0] for row in answers["table_sizes"]}
    assert [(row[0], row[1], row[3]) for row in answers["catalogue"]] == [("H17", "Đà Nẵng", 2)]
