"""The published figures of 2024 with every real service: report, gauges, board queries, notifications."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import subprocess
import sys

import pytest

from dashboards.grafana.generate import boards
from deploy.native.processes import wait_until
from domain.errors import UnavailableError
from domain.periods import VIETNAM
from tests.board_queries import agency_choices, asked_beside_panels, board_queries
from tests.factories import a_message, an_event
from tests.integration.browser.chromium import chromium
from tests.integration.scenario.conftest import TOPIC
from tests.sending import send

#: Printed by the source document for 01/01 to 20/08/2024.
PRINTED = {
    "G02": "79.94",
    "G14": "56.46",
    "G24": "49.76",
    "H17": "64.94",
    "G08": "0.00",
    "G10": "0.00",
    "province": "17.90",
    "VN": "43.00",
}


def test_printed_figures_are_exact_to_the_last_digit(loaded):
    """The report shows the rates that the source document prints."""
    rows = loaded.figures()
    assert {code: rows[code]["indicators"]["I1"]["percent"] for code in PRINTED} == PRINTED


def test_every_unit_has_its_exact_counts(loaded):
    """Numerator and denominator of all 84 units equal the scenario's integers."""
    rows = loaded.figures()
    wanted = {unit.code: (unit.settled.numerator, unit.settled.denominator) for unit in loaded.scenario.units}
    assert len(wanted) == 84
    found = {code: rows[code]["indicators"]["I1"] for code in wanted}
    assert {code: (row["numerator"], row["denominator"]) for code, row in found.items()} == wanted


def test_neighbouring_days_hold_events_and_stay_outside(loaded):
    """Dossiers settled on the day before and the day after exist and are counted on their own days only."""
    before, after = loaded.figures("2023-12-31", "2023-12-31")["VN"], loaded.figures("2024-08-21", "2024-08-21")["VN"]
    assert before["indicators"]["I1"]["denominator"] > 0
    assert after["indicators"]["I1"]["denominator"] > 0
    assert loaded.figures("2023-12-31", "2024-08-21")["VN"]["indicators"]["I1"]["denominator"] == (
        100_000 + before["indicators"]["I1"]["denominator"] + after["indicators"]["I1"]["denominator"]
    )


@pytest.mark.parametrize("messages", [5_000, *(pytest.param(number, marks=pytest.mark.long) for number in (40_000, None))])
def test_sending_the_scenario_again_changes_nothing(loaded, messages):
    """The same seed gives the same events: stored, tallied and reported figures stay as they are.

    ``messages``: so many of the scenario are sent again, from its beginning; None: all of them.
    """
    before = loaded.figures()
    assert loaded.status()["consumer_lag"] == 0
    acknowledged = _counter(loaded, "portalpulse_worker_acknowledged_events_total")
    again = loaded.send_again(messages)
    assert again.complete
    assert again.sent == (messages or loaded.summary.sent)
    wait_until(
        lambda: _counter(loaded, "portalpulse_worker_acknowledged_events_total") >= acknowledged + again.sent,
        timeout=120,
        what="the second copy to be acknowledged",
    )
    loaded.await_tallies()
    assert loaded.figures() == before


@pytest.mark.parametrize("kpi", ["I1", "I5"])
def test_every_board_query_returns_what_the_report_says(loaded, kpi):
    """Each query of the four boards has an answer from the real Prometheus, or a reason why none is normal; figures that the
    report prints are the same to the last digit.
    """
    rows = loaded.figures()
    open_queries = {query.name: query for query in board_queries(kpi=kpi, window="ytd", agency="H26")}

    def agrees(query):
        samples, expected = loaded.query(query.promql), _expected(query.equals, rows, kpi)
        return _agree(samples, expected) if expected is not None else bool(samples or query.may_be_empty)

    def all_agree():
        for name in [name for name, query in open_queries.items() if agrees(query)]:
            del open_queries[name]
        return not open_queries

    try:
        wait_until(all_agree, timeout=90, what="the queries of the boards to agree with the report")
    except UnavailableError:
        pytest.fail(f"no or another answer: {sorted(open_queries)}")


def test_variables_and_annotations_of_the_boards_are_answered(loaded, registry):
    """The real Prometheus answers what boards ask beside their panels, and agencies are offered by code and name."""
    for board in boards():
        answers = [loaded.query(promql) for promql in asked_beside_panels(board)]
        if board["uid"] == "portalpulse-agency":
            offered = agency_choices(board, [labels for labels, _ in answers[0]])
            assert set(offered) == {agency.code for agency in registry.in_force(dt.date(2024, 8, 20))}
            assert offered["H17"] == "H17 · Đà Nẵng"


def test_alertmanager_notifies_for_those_below_five_percent_and_no_others(loaded):
    """Once all figures are tallied, exactly the agencies below 5 % of the year to date are notified."""
    expected = loaded.scenario.zero | loaded.scenario.above_0_below_5

    def notified():
        return loaded.stack.receiver.notifications.agencies("AgencyRateLow", window="ytd", rungs=("zero", "below5"))

    wait_until(lambda: notified() >= expected, timeout=150, what="every agency below 5 % to be notified")
    wait_until(
        lambda: not loaded.query('ALERTS{alertname="AgencyRateLow",window="ytd",rung="below5",alertstate="pending"}'),
        timeout=30,
        what="no alert to be pending",
    )
    assert notified() == expected


def test_the_command_line_reports_the_same_figures(loaded):
    """`portalpulse report --format json` prints exactly what the API serves."""
    command = [
        "report",
        "--from",
        "2024-01-01",
        "--to",
        "2024-08-20",
        "--format",
        "json",
        "--partial",  # the clock stands on the last day
        "--data",
        str(loaded.stack.folder.path),
    ]
    printed = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command], capture_output=True, text=True, check=True, timeout=60
    )
    report = json.loads(printed.stdout)
    assert (report["period"]["from"], report["period"]["to"]) == ("2024-01-01", "2024-08-20")
    assert report["completeness"]["reasons"][0]["code"] == "period_not_over"
    assert {row["code"]: row for row in report["rows"]} == loaded.figures()


_ROWS = """
Object.fromEntries([...document.querySelectorAll('#body tr')].map(row =>
    [row.dataset.c, [row.querySelector('.c-rate').firstChild.data, row.querySelector('.c-nd').textContent]]))
"""
_LOW = """
[...document.querySelectorAll('#alerts li')]
    .filter(line => /Bằng 0|Dưới 5 %/.test(line.textContent) && line.textContent.includes('năm'))
    .map(line => new URLSearchParams(line.querySelector('a').getAttribute('href')).get('sel'))
"""
_BANNER = "!document.querySelector('#banner').hidden && document.querySelector('#banner').textContent"


@pytest.mark.long
async def test_the_board_shows_the_report_its_changes_and_the_alerts(loaded, tmp_path):
    """A browser sees the report's figures, also of chosen days, alerts that begin and end, a new dossier, the worker's return.

    This test is the last one of the file, because it changes figures.
    """
    report = await asyncio.to_thread(loaded.figures)
    low = loaded.scenario.zero | loaded.scenario.above_0_below_5
    async with chromium(tmp_path) as browser:
        spring = await asyncio.to_thread(loaded.figures, "2024-03-01", "2024-05-31")
        for query, due in (("?period=any&from=2024-03-01&to=2024-05-31", spring), ("", report)):
            page = await browser.blank()
            await page.show(f"{loaded.stack.api}/{query}", width=1440, height=900)
            await page.until("document.querySelectorAll('#body tr').length >= 84")
            assert await page.value(_ROWS) == _rows(due)
            nation = await page.value("document.querySelector('.fig-n .num').textContent")
            assert nation == due["VN"]["indicators"]["I1"]["percent"].replace(".", ",") + "%"
        assert 0 < spring["VN"]["indicators"]["I1"]["denominator"] < report["VN"]["indicators"]["I1"]["denominator"]
        await page.until(f"({_LOW}).length >= {len(low)}", seconds=120)
        assert set(await page.value(_LOW)) == low

        due = report["H26"]["indicators"]["I1"]
        settled = f"{due['numerator'] + 1:,} / {due['denominator'] + 1:,}".replace(",", ".")
        moment = dt.datetime(2024, 8, 20, 9, tzinfo=VIETNAM)
        # Two more of G21 are 3 of 32 dossiers: above the limit at which its alert ends.
        codes = {"H26.9-240820-9999": "H26", "G21.9-240820-9998": "G21", "G21.9-240820-9999": "G21"}
        events = [an_event(agency=agency, dossier_code=code, occurred_at=moment) for code, agency in codes.items()]
        pairs = [(event.dossier_code.encode(), a_message(event)) for event in events]
        assert (await asyncio.to_thread(send, loaded.stack.bootstrap, TOPIC, pairs)).complete

        def counted():
            return loaded.figures()["H26"]["indicators"]["I1"]["denominator"] > due["denominator"]

        await asyncio.to_thread(wait_until, counted, timeout=60, what="the new dossier to be counted")
        await page.until(f"document.querySelector('tr[data-c=H26] .c-nd').textContent === '{settled}'", seconds=30)
        await page.until(f"!({_LOW}).includes('G21')", seconds=120)
        assert set(await page.value(_LOW)) == low - {"G21"}

        await page.value("window.mark = 'not loaded again'")
        worker = loaded.stack.portalpulse_processes[-1]
        await asyncio.to_thread(worker.process.stop)
        assert "Mất kết nối" in await page.until(_BANNER)
        await asyncio.to_thread(worker.launch)
        await asyncio.to_thread(worker.await_ready)
        await page.until("document.querySelector('#banner').hidden && document.body.className === 'q-ok'", seconds=40)
        assert await page.value("window.mark") == "not loaded again"
        asked, _ = page.requested()
        assert [address for address in asked if not address.startswith(loaded.stack.api)] == []


def _rows(report):
    """What the page shows of the report's agencies: rate, numerator and denominator."""
    found = {}
    for code, row in report.items():
        if row["scope"] == "agency":
            due = row["indicators"]["I1"]
            of = f"{due['numerator']:,} / {due['denominator']:,}".replace(",", ".") if due["denominator"] else "—"
            found[code] = [(due["percent"] or "—").replace(".", ","), of]
    return found


def _counter(loaded, name):
    """A counter of the worker's own /metrics."""
    text = loaded.http.get(f"{loaded.stack.api}/metrics").raise_for_status().text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


def _expected(figure, rows, kpi):
    """The report's values for a query, by label value ("" for the nation); None when the report has none."""
    if figure == "none":
        return None
    scope, part = figure.split("_")
    values = {}
    for code, row in rows.items():
        if row["scope"] != scope:
            continue
        ratio = row["indicators"][kpi]
        if part == "percent":
            if ratio["denominator"]:
                values["" if scope == "nation" else code] = float(ratio["percent"])
        else:
            values["" if scope == "nation" else code] = ratio[part]
    return values


def _agree(samples, expected):
    found = {labels.get("agency") or labels.get("block") or "": value for labels, value in samples}
    return found.keys() == expected.keys() and all(found[key] == expected[key] for key in found)
