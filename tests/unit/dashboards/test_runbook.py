"""The runbook has an entry for every alert, with all required parts."""

from __future__ import annotations

import re

import pytest
import yaml

from dashboards.rules.generate import COMMITTED, RuleTiming, render
from deploy.native.service_alerts import SERVICE_PAGE, STOPPED, alert_name

RUNBOOK = COMMITTED.parent / "runbook.md"
PARTS = ("Meaning", "First query", "Causes", "Who decides", "How to silence", "When it ends")


def entries() -> dict[str, str]:
    """The text below each heading."""
    parts = re.split(r"(?m)^## (.+)$", RUNBOOK.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def alert_names() -> list[str]:
    """The names of all alerts, sorted."""
    return sorted(
        rule["alert"]
        for text in render(RuleTiming.production()).values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    )


def test_one_heading_per_alert():
    """The runbook has an entry for every alert, including those of the local stack, and for no other."""
    assert sorted(entries()) == sorted([*alert_names(), SERVICE_PAGE, STOPPED])


def test_the_entry_of_the_parts_names_each_of_their_alerts():
    """The names of the alerts of all parts are in the runbook."""
    for part in ("Kafka", "The worker", "The exporter", "ClickHouse", "Prometheus", "Alertmanager"):
        assert f"`{alert_name(part)}`" in entries()[SERVICE_PAGE]


@pytest.mark.parametrize("name", [*alert_names(), SERVICE_PAGE, STOPPED])
def test_an_entry_says_everything(name):
    """Meaning, first query, causes, who decides, how to silence and when it ends are in every entry, in this order."""
    found = re.findall(r"(?m)^\*\*(\w+(?: \w+){0,2})", entries()[name])
    order = [part for part in PARTS if any(heading.startswith(part) for heading in found)]
    assert order == list(PARTS), name


def test_queries_of_the_runbook_exist():
    """A series named in the runbook is recorded by a rule or declared as a metric."""
    from domain.metric_names import METRICS

    recorded = {
        rule["record"]
        for text in render(RuleTiming.production()).values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    named = set(re.findall(r"\b(?:agency|block|national|pipeline):\w+:\w+\b", RUNBOOK.read_text(encoding="utf-8")))
    named |= set(re.findall(r"\b(?:portalpulse|agency)_[a-z_]+[a-z]\b", RUNBOOK.read_text(encoding="utf-8")))
    reasons = {"agency_not_in_force"}
    assert named - reasons <= recorded | set(METRICS)
