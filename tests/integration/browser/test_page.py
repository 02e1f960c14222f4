"""The page of a report in a real Chromium, as a reader prints it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import os
import re
import subprocess
import sys

import httpx
import numpy as np
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry

from deploy.native.programs import PROJECT
from domain.catalogue import CatalogueEntry
from domain.clock import ManualClock
from domain.indicators import ALL_INDICATORS, INDICATORS
from pipeline.report.completeness import TopicOffsets
from pipeline.runbook.routes import runbook_routes
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.settings import HttpSettings
from sinks.contract.tallies import Counts, ServicesWithDossiers
from tests.reports import report_route

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: After the mergers, so that the report has units with and without figures; later than every period.
NOW = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
#: The smallest and the largest share of a sheet that is printed on: neither empty nor black.
_INK = (0.005, 0.6)


class Everywhere:
    """A reader in which each agency has counts of its own, up to eight digits, and some have none."""

    def __init__(self, registry):
        self.codes = sorted({agency.code for agency in registry})

    def counts_of_days(self, first, last):
        """Counts that differ by agency and by period."""
        found = {}
        for number, code in enumerate(self.codes):
            settled = (number * 7_919_771 + last.toordinal() + first.toordinal()) % 70_000_000 * (number % 9 > 0)
            online = settled * (number % 11) // 10 if number % 11 < 10 else settled
            found[code] = Counts(
                events=settled + 1, submitted=settled, submitted_online=online, settled=settled, settled_full=online // 2,
                settled_full_any_return=online,
            )  # fmt: skip
        return found

    def active_days(self, first, last):
        """Every agency sends on every day, but one that is interrupted."""
        days = (last - first).days + 1
        active = {code: np.ones(days, dtype=bool) for code in self.codes}
        active["H17"][3:9] = False
        return active

    def services_with_dossiers(self, *_):
        """A third of the services."""
        used = frozenset((code, "1.001") for code in self.codes[::3])
        return ServicesWithDossiers(used, used)


@pytest_asyncio.fixture(loop_scope="module")
async def process(registry):
    """The address of a process whose figures are those of ``Everywhere``; messages wait, so they are not final."""
    begin = dt.date(2020, 1, 1)
    reader = Everywhere(registry)
    entries = [
        CatalogueEntry(code, procedure, begin, service_level=level)
        for code in reader.codes
        for procedure, level in (("1.001", "toan_trinh"), ("1.002", "mot_phan"))
    ]
    waiting = TopicOffsets({0: 1_000_000_000}, {0: 1})
    api = Api(
        registry=CollectorRegistry(),
        agencies=registry,
        clock=ManualClock(NOW),
        health=lambda: Health(healthy=True, ready=True),
        reader=reader,
        routes=(report_route(reader, registry, NOW, offsets=lambda: waiting, catalogue=lambda _: entries), runbook_routes),
    )
    server = HttpServer(api, HttpSettings(port=0))
    yield await server.start()
    await server.close()


@dataclasses.dataclass(frozen=True)
class Case:
    """A page: the options of the command and the parameters of the API that ask for the same figures."""

    options: tuple[str, ...]
    parameters: dict[str, str]
    indicators: tuple[str, ...] = tuple(INDICATORS)


CASES = {
    "a month": Case(("--month", "2025-06"), {"month": "2025-06"}),
    "every indicator, compared, in English": Case(
        (
            *("--quarter", "2025-Q3", "--compare", "last-year", "--lang", "en", "--decimals", "6"),
            *(word for name in ALL_INDICATORS for word in ("--indicator", name)),
        ),
        {"quarter": "2025-Q3", "compare": "last-year"},
        tuple(ALL_INDICATORS),
    ),
    "by later units": Case(
        ("--year", "2024", "--units", "2025-07-01", "--compare", "previous", "--sort", "rank"),
        {"year": "2024", "units": "2025-07-01", "compare": "previous"},
    ),
}


@pytest.mark.long
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=() if case.indicators == tuple(ALL_INDICATORS) else pytest.mark.long)
        for name, case in CASES.items()
    ],
)
async def test_the_page_of_a_report_in_a_browser(process, browser, tmp_path, case):
    """On A4 every sheet is printed on, no text overflows, nothing is fetched, and every figure of every row is the API's."""
    path = tmp_path / "report.html"
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PORTALPULSE_")}
    environment |= {
        "PORTALPULSE_HTTP__PORT": process.rpartition(":")[2],
        "PORTALPULSE_CLOCK": NOW.isoformat(),
        "PYTHONPATH": str(PROJECT),
    }
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "report",
        *case.options,
        "--format",
        "html",
        "--output",
        str(path),
        "--partial",
    ]
    ended = await asyncio.to_thread(
        subprocess.run, command, env=environment, cwd=tmp_path, capture_output=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr.decode()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.get(f"{process}/api/v1/report", params=case.parameters | {"wait": "0"})
    rows = answer.raise_for_status().json()["rows"]

    page = await browser.open(path.as_uri())
    overflowing = await page.overflowing()
    figures = await page.figures()
    pdf = await page.printed()
    shares = await page.inked()
    asked, said = page.requested()

    assert overflowing == []
    assert asked == [path.as_uri()]
    assert said == []
    sheets = len(re.findall(rb"/Type */Page\b", pdf))
    assert sheets >= 2 * len(case.indicators)
    boxes = {tuple(round(float(side)) for side in box.split()) for box in re.findall(rb"/MediaBox *\[([^\]]*)\]", pdf)}
    assert boxes == {(0, 0, 595, 842)}
    assert all(_INK[0] < share < _INK[1] for share in shares[:-1]), shares
    due = {
        name: {row["code"]: [[row["indicators"][name][part]] * 2 for part in ("numerator", "denominator")] for row in rows}
        for name in case.indicators
    }
    assert figures == due
    assert sum(numerator[0] > 0 for numerator, _ in due["I1"].values()) > 30


#: Address, and the theme that the reader prefers; ``--long`` has both themes in both languages.
PAGES = [(f"{name}{language}", theme) for language, theme in (("vi", "light"), ("en", "dark")) for name in
         ("/runbook/", "/definitions/", "/report?month=2025-06&wait=0&lang=")]  # fmt: skip
EVERY_PAGE = [(address, theme) for address, _ in PAGES for theme in ("light", "dark")]


@pytest.mark.parametrize("pages", [pytest.param(PAGES, id="main"), pytest.param(EVERY_PAGE, id="every", marks=pytest.mark.long)])
async def test_everybody_can_read_the_documents(process, browser, axe, pages):
    """Axe finds nothing on runbook, definitions and report, and nothing is fetched from elsewhere, in both languages."""
    found = {}
    for address, theme in pages:
        page = await browser.blank()
        await page.show(f"{process}{address}", width=1280, height=900, features=[("prefers-color-scheme", theme)])
        await page.until("document.readyState === 'complete' && document.querySelector('h1')")
        asked, said = page.requested()
        found[address, theme] = [*await page.violations(axe), *said, *(each for each in asked if not each.startswith(process))]
        await page.close()
    assert {key: each for key, each in found.items() if each} == {}
