"""The live board in a real Chromium: what a reader sees, on every screen, in both themes and languages."""

from __future__ import annotations

import asyncio
import datetime as dt
import json

import pytest
import pytest_asyncio
from aiohttp import web

from deploy.native.ports import free_port
from domain.clock import ManualClock
from pipeline.board.alert_sources import AlertSources
from tests.board import NOW, BoardReader, board_sources, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZES = {"laptop": (1440, 900), "tablet": (900, 1100), "phone": (390, 844), "wall": (3840, 2160)}
LOADED = "document.documentElement.dataset.loaded === 'yes' && document.querySelectorAll('#body tr').length > 80"
#: Code -> what a reader sees of a row: rank, rate, state, deficit, numerator and denominator, change.
_ROWS = """
Object.fromEntries([...document.querySelectorAll('#body tr')].map(row => [row.dataset.c,
    ['rank', 'rate', 'st', 'def', 'nd', 'dl'].map(name => row.querySelector('.c-' + name).textContent)]))
"""


async def shown(browser, server, query="", *, size="laptop", **more):
    """A page of the board that has its figures."""
    page = await browser.blank()
    width, height = SIZES[size]
    await page.show(f"{server.address}/{query}", width=width, height=height, phone=size == "phone", **more)
    await page.until(LOADED)
    return page


PERIOD = "document.querySelector('#period').textContent"
PRESSED = "document.querySelector('#periods [aria-pressed=true]').textContent"


async def choose_days(page, first, last):
    """Open the form of the days, fill it in and send it."""
    await page.value("document.querySelector('#choose').click()")
    await page.value(f"document.querySelector('#from').value = '{first}', document.querySelector('#to').value = '{last}'")
    await page.value("document.querySelector('#dates button').click()")


def vietnamese(text):
    """A number with a decimal point as the page writes it in Vietnamese."""
    return text.replace(".", ",").replace("-", "\u2212")


async def test_what_a_reader_sees(registry, browser):
    """Every row has the figures of the API; a change shows within two seconds; keys, search and links work; nothing complains."""
    reader = BoardReader(registry)
    sources = board_sources(reader, registry)
    async with served(sources, registry) as server:
        page = await shown(browser, server)
        data = await page.value("fetch('/api/v1/snapshot').then(answer => answer.json())")
        rows = await page.value(_ROWS)
        assert set(rows) == set(data["agencies"])
        for code, due in data["agencies"].items():
            rank, rate, _, deficit, of, change = rows[code]
            assert rank == str(due["rank"] or "—"), code
            assert rate.rstrip("%") == (vietnamese(due["rate"]) if due["rate"] else "—"), code
            assert deficit == (f"{due['deficit']:,}→ {due['goal']}\u00a0%".replace(",", ".") if due["deficit"] else ""), code
            assert change == (vietnamese(due["change"]) if due["change"] is not None and due["rate"] else "—"), code
            assert of == (f"{due['numerator']:,} / {due['denominator']:,}".replace(",", ".") if due["rate"] else "—"), code
        assert rows["H41"][1:3] == ["4,97%", "Dưới 5 %"]
        assert rows["H54"][1:3] == ["5,00%", "Dưới 10 %"]
        assert rows["G10"][1:3] == ["0,00%", "Bằng 0"]
        assert await page.value("document.querySelector('.fig-n .num').textContent") == vietnamese(data["nation"]["rate"]) + "%"
        order = await page.value("[...document.querySelectorAll('#body tr:not([hidden]) .st')].map(e => e.className.slice(3))")
        worst = ["nodata", "zero", "below5", "below10", "target", "met"]
        assert [worst.index(state) for state in order] == sorted(worst.index(state) for state in order)
        assert await page.value("document.querySelectorAll('#tiles .tile').length") == 63

        reader.ratios["H41"] = (500, 1000)
        await page.until("document.querySelector('tr[data-c=H41] .c-rate').textContent === '50,00%'", seconds=2)
        assert await page.value("document.querySelector('tr[data-c=H41] .c-st').textContent") == "Đạt mục tiêu"

        assert "Chưa nối Prometheus" in await page.value("document.querySelector('#alerts').textContent")
        assert "không có cảnh báo" not in (await page.value("document.querySelector('#alerts').textContent")).lower()
        await page.value("document.querySelector('#periods button').click()")
        await page.until("document.querySelector('#period').textContent === '24 giờ qua'")
        asked, _ = page.requested()
        assert [address for address in asked if not address.startswith(server.address)] == []
        assert page.complaints() == []
        await page.close()


async def test_links_and_keys(registry, browser):
    """An address opens what it names; the search takes names without accents; arrows, Enter and Escape work as they say."""
    async with served(board_sources(BoardReader(registry), registry), registry) as server:
        linked = await shown(browser, server, "?lang=en&rung=zero&sort=name&dir=desc&block=ministry&period=month")
        assert await linked.value("[...document.querySelectorAll('#body tr:not([hidden])')].map(row => row.dataset.c)") == [
            "G10",
            "G08",
        ]
        assert await linked.value("document.documentElement.lang") == "en"
        assert (await linked.value("document.querySelector('#period').textContent")).startswith("Month to date")
        assert linked.complaints() == []
        days = await shown(browser, server, "?period=any&from=2024-03-01&to=2024-05-31&theme=light")
        assert await days.value(PERIOD) == "Từ 01/03/2024 đến 31/05/2024"
        assert await days.value(PRESSED) == "Chọn ngày"
        for width in (1100, 390):  # where other periods have no room for their days
            await days.send("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
            assert await days.value("document.querySelector('#period').checkVisibility()"), width
        wrong = await shown(browser, server, "?period=any&from=2024-05-31&to=2024-03-01")  # as no period at all
        assert (await wrong.value(PERIOD)).startswith("Lũy kế")
        await wrong.close()

        page = await shown(browser, server)
        await choose_days(page, "2024-08-02", "2024-08-01")
        assert await page.value("document.querySelector('#to').validationMessage.startsWith('Ngày cuối')")
        assert await page.value("!document.querySelector('#dates').hidden && !location.search.includes('any')")
        await page.press("Escape")
        assert await page.value("document.activeElement.id") == "choose"
        await choose_days(page, "2024-08-01", "2024-08-18")
        await page.until(f"{PERIOD} === 'Từ 01/08/2024 đến 18/08/2024'")
        assert await page.value("location.search") == "?period=any&from=2024-08-01&to=2024-08-18"
        data = await page.value("fetch('/api/v1/snapshot' + location.search).then(answer => answer.json())")
        assert await page.value("document.querySelector('.fig-n .num').textContent") == vietnamese(data["nation"]["rate"]) + "%"
        await page.value("[...document.querySelectorAll('#periods button')].find(each => each.textContent === 'Năm').click()")
        await page.until(f"{PERIOD}.startsWith('Lũy kế')")
        assert await page.value("location.search") == ""
        await page.press("/")
        assert await page.value("document.activeElement.id") == "q"
        await page.send("Input.insertText", text="da nang")
        assert await page.value("[...document.querySelectorAll('#body tr:not([hidden])')].map(row => row.dataset.c)") == ["H17"]
        await page.press("ArrowDown", "Enter")
        await page.until("document.querySelector('#plot-rate canvas') && document.querySelector('#plot-volume canvas')")
        assert await page.value("document.activeElement.textContent") == "Đà Nẵng"
        assert await page.value("document.querySelector('#panel .p-now .num').textContent") == "37,00%"
        assert "Chưa nối Prometheus" in await page.value("document.querySelector('#panel').textContent")
        assert "sel=H17" in await page.value("location.search")
        await page.press("Escape")
        assert (
            await page.value("document.querySelector('#panel').hidden && document.activeElement.closest('tr').dataset.c") == "H17"
        )
        await page.press("ArrowUp", "Escape")
        assert await page.value("document.querySelectorAll('#body tr:not([hidden])').length") == 86
        assert page.complaints() == []


async def test_old_figures_and_lost_connections_are_seen(registry, browser):
    """The banner comes when events stop, when the storage fails and when the process ends; it goes without a reload."""
    reader, port = BoardReader(registry), free_port()
    clock = ManualClock(NOW)
    banner = "!document.querySelector('#banner').hidden && document.querySelector('#banner').textContent"
    gone = "document.querySelector('#banner').hidden && document.body.className === 'q-ok'"
    async with served(board_sources(reader, registry, clock=clock), registry, port=port) as server:
        page = await shown(browser, server)
        await page.value("window.mark = 'not loaded again'")
        clock.advance(660)
        assert "Dữ liệu cũ từ 14:59:57" in await page.until(banner)
        assert "không mở hay đóng cảnh báo" in await page.value("document.querySelector('#held').textContent")
        reader.newest = dict.fromkeys(reader.newest, clock.now())
        await page.until(gone)
        reader.down = True
        assert "Kho dữ liệu không trả lời" in await page.until(banner)
        reader.down = False
        await page.until(gone)
    lost = await page.until(banner)
    assert "Mất kết nối từ" in lost
    assert await page.value("document.querySelector('#fresh .num').textContent") == "—"
    assert await page.value("document.querySelector('tr[data-c=H17] .c-rate').textContent") == "37,00%"
    reader.ratios["H17"] = (2000, 4000)
    async with served(board_sources(reader, registry, clock=clock), registry, port=port):
        await page.value("document.querySelector('#retry').click()")
        await page.until(gone)
        await page.until("document.querySelector('tr[data-c=H17] .c-rate').textContent === '50,00%'")
    assert await page.value("window.mark") == "not loaded again"


class Alerts:
    """An Alertmanager whose answer a test sets; ``status`` 500 makes it fail."""

    def __init__(self):
        self.status, self.answer = 200, []

    async def __call__(self, _):
        """Answer."""
        return web.json_response(self.answer, status=self.status)


async def test_alerts_come_and_go(registry, browser, aiohttp_address, monkeypatch):
    """An alert appears with its agency, rung and runbook, and goes; a source that falls silent is never "no alerts"."""
    monkeypatch.setattr("pipeline.board.alert_sources._INTERVAL_SECONDS", 0.2)
    alerts = Alerts()
    address = await aiohttp_address("/api/v2/alerts", alerts)
    since = (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=7)).isoformat()
    labels = {
        "alertname": "AgencyRateLow",
        "agency": "H41",
        "kpi": "I1",
        "window": "1d",
        "rung": "below5",
        "severity": "critical",
    }
    sources = board_sources(BoardReader(registry), registry, alerts=AlertSources(alertmanager=address))
    text = "document.querySelector('#alerts').textContent"
    async with served(sources, registry) as server:
        page = await shown(browser, server)
        await page.until(f"{text} === 'Không có cảnh báo nào đang mở.'")
        alerts.answer = [
            {"labels": labels, "annotations": {}, "startsAt": since, "status": {"state": "active"}},
            {"labels": {**labels, "rung": "below10"}, "annotations": {}, "startsAt": since, "status": {"state": "suppressed"}},
        ]
        await page.until(f"{text}.includes('Nghệ AnDưới 5 % · 24 giờ7 phútSổ tay')")
        assert "1 cảnh báo đang tắt tiếng" in await page.value(text)
        assert await page.value("document.querySelector('#alerts .book').getAttribute('href')") == "/runbook/vi#AgencyRateLow"
        alerts.status = 500
        held = await page.until("!document.querySelector('#held').hidden && document.querySelector('#held').textContent")
        assert "Prometheus không trả lời từ" in held
        assert "Nghệ An" in await page.value(text)
        alerts.status, alerts.answer = 200, []
        await page.until(f"{text} === 'Không có cảnh báo nào đang mở.' && document.querySelector('#held').hidden")
        assert page.complaints() == []


@pytest_asyncio.fixture(loop_scope="module")
async def aiohttp_address():
    """Serve a handler at a path on a free port; returns the address."""
    runners = []

    async def serve(path, handler):
        async def answer(request):
            return await handler(request)

        app = web.Application()
        app.add_routes([web.get(path, answer)])
        runner = web.AppRunner(app, access_log=None)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return "http://{}:{}".format(*runner.addresses[0][:2])

    yield serve
    for runner in runners:
        await runner.cleanup()


DAYS = "period=any&from=2024-03-01&to=2024-05-31"
#: The rows of two states: axe takes seconds for all of them.
FEW = "rung=zero"
#: Pages that axe looks at: query, screen. The fast run has all rows once, a panel, a choice of days, a phone and the map.
FEW_PAGES = [
    ("?theme=light", "laptop"), ("?theme=dark&sel=H41&" + FEW, "laptop"), ("?theme=light&q=atlantis&lang=en&" + DAYS, "laptop"),
    ("?theme=dark&" + FEW, "phone"), ("?theme=light&view=map", "phone"),
]  # fmt: skip
#: Each state of the page once, and all rows in both themes; then both themes on every screen.
QUICK = [
    ("?theme=light", "laptop"), ("?theme=dark&sel=H41&" + FEW, "laptop"), ("?theme=light&q=atlantis&lang=en&" + DAYS, "laptop"),
    ("?theme=dark&" + FEW, "phone"), ("?theme=light&sel=G10&" + FEW, "phone"), ("?theme=light&view=map", "phone"),
    ("?theme=dark", "wall"),
]  # fmt: skip
LONG = [
    (f"?theme={theme}&{query}", size)
    for theme in ("light", "dark")
    for size in SIZES
    for query in ("", "sel=H35&lang=en", "rung=below5", f"q=atlantis&{DAYS}", "view=alerts", "view=pipe")
]


@pytest.mark.parametrize(
    "pages",
    [
        pytest.param(FEW_PAGES, id="some"),
        pytest.param(QUICK, id="main", marks=pytest.mark.long),
        pytest.param(LONG, id="every", marks=pytest.mark.long),
    ],
)
async def test_everybody_can_use_the_page(registry, browser, axe, pages):
    """Axe finds nothing in the states, themes and screens, also with old figures; no text reaches out of the page."""
    reader, clock = BoardReader(registry), ManualClock(NOW)
    found = {}
    async with served(board_sources(reader, registry, clock=clock), registry) as server:
        for query, size in [*pages, ("?theme=light&sel=H41&" + FEW, "stale"), ("?theme=dark&" + FEW, "stale")]:
            if size == "stale":
                clock.instant = NOW + dt.timedelta(minutes=11)
            page = await shown(
                browser, server, query, size=size if size in SIZES else "laptop", features=[("prefers-reduced-motion", "reduce")]
            )
            if "sel=" in query:
                await page.until("document.querySelector('#panel .links')")
            if DAYS in query:
                await page.value("document.querySelector('#choose').click()")
            if size == "stale":
                await page.until("!document.querySelector('#banner').hidden")
            found[query, size] = [*await page.violations(axe), *page.complaints()]
            width = await page.value("document.documentElement.scrollWidth - innerWidth")
            found[query, size] += [f"{width} pixels too wide"] if width > 0 else []
            await page.close()
    assert {key: each for key, each in found.items() if each} == {}


async def test_the_page_on_paper(registry, browser):
    """Printed on A4 there is the table alone, with its caption, on two or three sheets."""
    async with served(board_sources(BoardReader(registry), registry, clock_fixed=True), registry) as server:
        page = await shown(browser, server, media="print")
        assert "Sắp xếp: theo mức, xấu trước" in await page.value("document.querySelector('#cap').innerText")
        hidden = (
            "['#kpi', '#side', '#pipe', '#tabs', '.bar-tools'].every(name => !document.querySelector(name).checkVisibility())"
        )
        assert await page.value(hidden)
        pdf = await page.printed()
        assert 2 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type/Page\n") <= 4 or b"/Count 2" in pdf or b"/Count 3" in pdf


@pytest.mark.long
async def test_every_row_every_second_costs_little(registry, browser):
    """While every row changes each second the page's main thread takes under a tenth of a core."""
    reader = BoardReader(registry)

    async def churn():
        while True:
            reader.ratios = {code: (n + (d > n), d + 7) if d else (0, 0) for code, (n, d) in reader.ratios.items()}
            await asyncio.sleep(0.5)

    async with served(board_sources(reader, registry), registry) as server:
        page = await shown(browser, server)
        await page.send("Performance.enable", timeDomain="threadTicks")
        task = asyncio.ensure_future(churn())

        async def spent():
            metrics = {each["name"]: each["value"] for each in (await page.send("Performance.getMetrics"))["metrics"]}
            return metrics["TaskDuration"]

        before = await spent()
        await asyncio.sleep(5)
        share = (await spent() - before) / 5
        task.cancel()
    assert share < 0.1, json.dumps({"share of a core": share})
