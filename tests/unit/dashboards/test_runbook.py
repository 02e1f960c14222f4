"""The runbook has an entry for every alert, with all required parts, in both languages, and is served as a page."""

from __future__ import annotations

import re

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from dashboards.notify.watchdog import SILENT
from dashboards.rules.generate import RuleTiming, render
from deploy.native.service_alerts import SERVICE_PAGE, STOPPED, alert_name
from pipeline.runbook.routes import LANGUAGES, page_of, runbook_routes, text_of

PARTS = {
    "en": ("Meaning", "First query", "Causes", "Who decides", "How to silence", "When it ends"),
    "vi": ("Ý nghĩa", "Truy vấn đầu tiên", "Nguyên nhân", "Ai quyết định", "Cách tạm tắt", "Khi nào kết thúc"),
}
#: Alerts that are not rules of Prometheus: of the local stack and of the checker of the heartbeat.
OTHERS = {SERVICE_PAGE, STOPPED, SILENT}


def entries(language):
    """The text below each heading."""
    parts = re.split(r"(?m)^## (.+)$", text_of(language))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def alert_names():
    """The names of all alerts of the rules."""
    return {
        rule["alert"]
        for text in render(RuleTiming.production()).values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_heading_per_alert(language):
    """The runbook has an entry for every alert, including those that are not rules, and for no other."""
    wanted = alert_names() | OTHERS
    assert wanted - set(entries(language)) == set()
    assert set(entries(language)) - wanted == set()
    assert list(entries(language)) == list(entries("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_entry_says_everything(language):
    """Meaning, first query, causes, who decides, how to silence and when it ends are in every entry, in this order."""
    for name, text in entries(language).items():
        found = re.findall(r"(?m)^\*\*([^*]+)\*\*", text)
        order = [part for part in PARTS[language] if any(heading.startswith(part) for heading in found)]
        assert order == list(PARTS[language]), name


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_entry_of_the_parts_names_each_of_their_alerts(language):
    """The names of the alerts of all parts are in the runbook."""
    for part in ("Kafka", "The worker", "The exporter", "ClickHouse", "Prometheus", "Alertmanager"):
        assert f"`{alert_name(part)}`" in entries(language)[SERVICE_PAGE]


@pytest.mark.parametrize("language", LANGUAGES)
def test_queries_of_the_runbook_exist(language):
    """A series named in the runbook is recorded by a rule or declared as a metric."""
    from domain.metric_names import METRICS

    recorded = {
        rule["record"]
        for text in render(RuleTiming.production()).values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    named = set(re.findall(r"\b(?:agency|block|national|pipeline):\w+:\w+\b", text_of(language)))
    named |= set(re.findall(r"\b(?:portalpulse|agency)_[a-z_]+[a-z]\b", text_of(language)))
    reasons = {"agency_not_in_force"}
    named = {name.removesuffix("_count") for name in named}
    assert named - reasons <= recorded | set(METRICS)


async def test_it_is_served():
    """Each language is a page with one anchor an alert and nothing from elsewhere."""
    app = web.Application()
    app.add_routes(runbook_routes(None))
    async with TestClient(TestServer(app)) as client:
        for language in LANGUAGES:
            answer = await client.get(f"/runbook/{language}")
            text = await answer.text()
            assert (answer.status, answer.content_type) == (200, "text/html")
            assert text == page_of(language)
            assert set(re.findall(r'<h2 id="(\w+)">', text)) == set(entries(language))
            assert f'<html lang="{language}">' in text
            assert not re.search(r'(?:src|href)="(?:https?:)?//|<script', text)
        first = await client.get("/runbook", allow_redirects=False)
        assert (first.status, first.headers["Location"]) == (302, "/runbook/vi")
        assert (await client.get("/runbook/fr")).status == 404
