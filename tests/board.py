"""A reader of the board's figures whose numbers a test sets, and a process that serves the board over it."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial

from prometheus_client import CollectorRegistry

from deploy.native.programs import PROJECT
from domain.clock import ManualClock
from domain.indicators import INDICATORS
from domain.periods import civil_day
from domain.working_days import WorkingDays
from pipeline.board.alert_sources import AlertSources
from pipeline.board.board import BoardSources
from pipeline.board.routes import board_routes
from pipeline.board.snapshot import Page, ProcessState
from pipeline.runbook.routes import runbook_routes
from pipeline.serving.answer_sources import Api, Health
from pipeline.serving.server import HttpServer
from pipeline.serving.site import Site
from pipeline.settings import HttpSettings, ThresholdPolicy
from sinks.contract.tallies import Counts, ServicesWithDossiers, TallyTotals
from sinks.errors import Retryable

#: 15:00 in Viet Nam on a Tuesday.
NOW = dt.datetime(2024, 8, 20, 8, tzinfo=dt.UTC)
FOLDER = PROJECT / "dashboards" / "board"
#: Agencies at the edges of states, the rest is made up from the code: exactly 5 %, exactly 10 %, just below 5 %, zero, nothing.
EDGES = {
    "H41": (48, 965), "H54": (30, 600), "H38": (25, 250), "G10": (0, 2000), "G08": (0, 200), "H35": (0, 0), "G19": (0, 0),
    "G02": (23982, 30000), "G14": (2823, 5000), "H26": (249, 3035), "H29": (590, 3685), "H17": (1480, 4000),
}  # fmt: skip
POLICIES = (ThresholdPolicy(window="1d"), ThresholdPolicy(window="ytd"))


def made_up(code: str) -> tuple[int, int]:
    """A numerator and a denominator that look like those of an agency."""
    seed = sum((position + 3) * ord(sign) * 7_919 for position, sign in enumerate(code))
    total = 200 + seed % 4_800
    return total * (seed % 37) // (60 if seed % 5 else 120), total


class BoardReader:
    """Figures by agency, the same in every period; ``down`` makes the storage fail."""

    def __init__(self, registry, now=NOW):
        self.now, self.down = now, False
        self.ratios = {agency.code: EDGES.get(agency.code, made_up(agency.code)) for agency in registry.expected(civil_day(now))}
        self.newest = dict.fromkeys(self.ratios, now - dt.timedelta(seconds=3))
        self.totals_now, self.dead, self.reads = TallyTotals(120_000, 120_000), 17, Counter()

    def _read(self, name):
        self.reads[name] += 1
        if self.down:
            raise Retryable("ClickHouse at h:1: no answer")

    def _counts(self, share=1.0):
        return {
            code: Counts(events=3 * d + 1, submitted=d, submitted_online=d // 2, settled=d, settled_full=n)
            for code, (n, d) in ((code, (int(n * share), d)) for code, (n, d) in self.ratios.items())
            if d
        }

    def counts_of_days(self, _, last):
        """All figures are those of today: days that end yesterday have none, an earlier period an eighth less."""
        self._read("days")
        today = civil_day(self.now)
        return {} if last == today - dt.timedelta(days=1) else self._counts(1.0 if last >= today else 0.875)

    def counts_between(self, start, end):
        """Those of today, as minutes."""
        self._read("minutes")
        return self._counts(1.0 if end > self.now else 0.875) if end - start > dt.timedelta(hours=1) else {}

    def counts_by_day(self, first, last):
        """A wave around the rate of each agency; weekends are quiet."""
        self._read("by day")
        found = {}
        for code, (n, d) in self.ratios.items():
            for number in range((last - first).days + 1):
                day = first + dt.timedelta(days=number)
                settled = d // 80 + 9 if day.isoweekday() < 6 else d // 1500
                if d and settled:
                    height = 1 + 0.3 * math.sin(number / 9 + ord(code[2])) + 0.12 * math.sin(number * 1.7 + ord(code[1]))
                    due = settled * n / d * height
                    full = min(settled, int(due * (number + 1)) - int(due * number))
                    found[code, day] = Counts(events=settled, settled=settled, settled_full=full)
        return found

    def counts_of_procedures(self, agencies, *_):
        self._read("procedures")
        n, d = self.ratios[agencies[0]]
        shares = (("2.000815", 0.38, 1.3), ("1.001193", 0.27, 1.1), ("1.012783", 0.2, 0.9), ("1.009994", 0.15, 0.4))
        return {
            code: Counts(settled=int(d * share), settled_full=min(int(d * share), int(n * share * times)))
            for code, share, times in shares
        }

    def services_with_dossiers(self, *_):
        return ServicesWithDossiers(frozenset(), frozenset())

    def active_days(self, *_):
        return {}

    def last_events(self, _):
        self._read("last events")
        return {code: at for code, at in self.newest.items() if self.ratios[code][1]}

    def totals(self):
        self._read("totals")
        return self.totals_now

    def dead_letters_by_reason(self):
        return {"not_json": self.dead}

    def ping(self):
        self._read("ping")


def board_sources(reader, registry, *, clock=None, alerts=None, **page):
    """What the board is made of, over ``reader``; 24 hours and year have a threshold."""
    clock = clock or ManualClock(NOW)
    return BoardSources(
        reader=reader,
        page=Page(registry=registry, indicator=INDICATORS["I1"], working_days=WorkingDays(), **page),
        clock=clock,
        wall_clock=clock,
        policies=POLICIES,
        alerts=alerts or AlertSources(),
        process=lambda: ProcessState(drift=0, consumer_lag=0),
    )


@asynccontextmanager
async def served(sources, registry, *, port=0, routes=(), **settings):
    """A process that serves the board, until the block ends; yields its server."""
    api = Api(
        registry=CollectorRegistry(),
        agencies=registry,
        clock=sources.clock,
        health=lambda: Health(healthy=True, ready=True),
        reader=sources.reader,
        routes=(partial(board_routes, sources), runbook_routes, *routes),
    )
    server = HttpServer(api, HttpSettings(port=port, **settings), site=Site(FOLDER))
    await server.start()
    try:
        yield server
    finally:
        await server.close()
