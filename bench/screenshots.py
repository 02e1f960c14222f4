"""``python -m bench screenshots``: pictures of the live board with the published figures of 2024, for the README and for reviews.

The process and the page are the real ones; the storage is a reader with the integers of the scenario, and history and alerts are
made up from them. Every picture says that its figures are simulated.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from aiohttp import web
from rich.console import Console

from deploy.native.programs import PROJECT
from domain.agencies import AgencyRegistry
from domain.clock import ManualClock
from pipeline.board.alert_sources import AlertSources
from producers.portals.scenarios import load_scenario
from sinks.contract.tallies import TallyTotals
from tests.board import NOW, BoardReader, board_sources, served
from tests.integration.browser.chromium import chromium

SCENARIO = "emc-2024"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: its file, the address, the screen (pixels), and whether figures are old on it."""

    name: str
    query: str
    width: int
    height: int
    old: bool = False
    paper: bool = False


PICTURES: Sequence[Picture] = (
    Picture("board-laptop", "?theme=light", 1440, 900),
    Picture("board-agency", "?theme=dark&sel=H41", 1440, 900),
    Picture("board-wall", "?theme=dark", 3840, 2160),
    Picture("board-phone", "?theme=light&sel=H41", 390, 844),
    Picture("board-stale", "?theme=light", 1440, 900, old=True),
    Picture("board-print", "?theme=light", 794, 1123, paper=True),
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def screenshots(
        *, output: Annotated[Path, typer.Option(help="Folder of the pictures.")] = PROJECT / "docs" / "pictures"
    ) -> None:
        """Draw the board on every screen in a real Chromium."""
        output.mkdir(parents=True, exist_ok=True)
        for path in asyncio.run(draw(output)):
            Console().print(str(path), soft_wrap=True)


async def draw(output: Path) -> list[Path]:
    """Write every picture; returns their files."""
    registry, clock = AgencyRegistry.packaged(), ManualClock(NOW)
    reader = BoardReader(registry)
    units = {unit.code: (unit.settled.numerator, unit.settled.denominator) for unit in load_scenario(SCENARIO).units}
    reader.ratios = {code: units[code] for code in reader.ratios if code in units}
    reader.newest = dict.fromkeys(reader.ratios, NOW - dt.timedelta(seconds=2))
    paths = []
    async with alertmanager(registry, units) as address:
        sources = board_sources(reader, registry, clock=clock, alerts=AlertSources(alertmanager=address))
        async with served(sources, registry) as server, arriving(reader, clock):
            with tempfile.TemporaryDirectory() as folder:
                async with chromium(Path(folder)) as browser:
                    for picture in sorted(PICTURES, key=lambda each: not each.old):
                        clock.instant = NOW + dt.timedelta(minutes=14 if picture.old else 0)
                        path = output / f"{picture.name}.png"
                        path.write_bytes(await taken(browser, f"{server.address}/{picture.query}", picture))
                        paths.append(path)
    return paths


async def taken(browser: Any, address: str, picture: Picture) -> bytes:
    """One picture as PNG, once everything on it is drawn."""
    page = await browser.blank()
    media = "print" if picture.paper else ""
    await page.show(address, width=picture.width, height=picture.height, phone=picture.width < 600, media=media)
    await page.until("document.documentElement.dataset.loaded === 'yes' && document.fonts.status === 'loaded'")
    await page.until("document.querySelector('#alerts .book')")
    if "sel=" in picture.query:
        await page.until("document.querySelector('#panel .links')")
    if picture.old:
        await page.until("!document.querySelector('#banner').hidden")
    # Said by hand, because the clock must move for "old": these figures are simulated.
    await page.value("document.querySelector('#scenario').hidden = false")
    drawn: bytes = await page.picture()
    await page.close()
    return drawn


@asynccontextmanager
async def arriving(reader: BoardReader, clock: ManualClock) -> AsyncIterator[None]:
    """Events arrive and are counted at once, until the block ends; none while the clock shows a later time."""

    async def count() -> None:
        while True:
            await asyncio.sleep(0.1)
            stored = reader.totals_now.stored + (5 if clock.instant == NOW else 0)
            reader.totals_now = TallyTotals(stored, stored)

    task = asyncio.ensure_future(count())
    try:
        yield
    finally:
        task.cancel()


@asynccontextmanager
async def alertmanager(registry: AgencyRegistry, units: dict[str, tuple[int, int]]) -> AsyncIterator[str]:
    """A server that answers as Alertmanager would for these figures."""
    low = sorted((n / d, code) for code, (n, d) in units.items() if code in registry and d and n * 10 < d)
    now = dt.datetime.now(dt.UTC)
    alerts = [
        {
            "labels": {
                "alertname": "AgencyRateLow",
                "agency": code,
                "kpi": "I1",
                "window": "ytd",
                "rung": "zero" if not rate else "below5" if rate < 0.05 else "below10",
                "severity": "critical" if rate < 0.05 else "warning",
            },
            "annotations": {"summary": "Tỷ lệ hồ sơ trực tuyến dưới ngưỡng cảnh báo.", "summary_en": "The online rate is low."},
            "startsAt": (now - dt.timedelta(hours=3 + 17 * number)).isoformat(),
            "status": {"state": "active"},
        }
        for number, (rate, code) in enumerate(low)
    ]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(alerts)

    app = web.Application()
    app.add_routes([web.get("/api/v2/alerts", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
