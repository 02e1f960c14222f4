"""The elements of a rule file: a recording rule, an alert, and a group of both."""

from __future__ import annotations

from textwrap import dedent
from typing import Any, Literal

from dashboards.rules.timing import RuleTiming, duration

#: One rule or group as in the YAML file.
Rule = dict[str, Any]
Severity = Literal["critical", "warning", "info", "none"]
Scope = Literal["agency", "pipeline", "meta"]


def _expression(text: str) -> str:
    return dedent(text).strip()


def seen(metric: str, timing: RuleTiming) -> str:
    """PromQL of the newest sample of each series within the guard time, so that a missed scrape does not reset ``for``."""
    return f"last_over_time({metric}[{timing.guard}])"


def record(name: str, expr: str) -> Rule:
    """A recording rule; ``name`` is level:metric:operation."""
    return {"record": name, "expr": _expression(expr)}


def texts(summary: str, summary_en: str, description: str, description_en: str) -> dict[str, str]:
    """The annotations of an alert in Vietnamese and English; the summaries are static sentences."""
    return {
        "summary": summary,
        "summary_en": summary_en,
        "description": description,
        "description_en": description_en,
    }


def with_label(expr: str, label: str, value: str) -> str:
    """PromQL of the series of ``expr`` with one more label."""
    return f'label_replace({expr}, "{label}", "{value}", "", "")'


def firing(names: str) -> str:
    """PromQL of the series of firing alerts; ``names`` is one name, or several separated by ``|``."""
    matcher = "=~" if "|" in names else "="
    return f'ALERTS{{alertname{matcher}"{names}", alertstate="firing"}}'


def fired(names: str, window: str) -> str:
    """PromQL of the series of alerts that fired at any time within the range ``window``, because an outage counts that long."""
    return f"last_over_time({firing(names)}[{window}])"


def alert(
    name: str,
    expr: str,
    *,
    severity: Severity | None,
    scope: Scope,
    annotations: dict[str, str],
    timing: RuleTiming,
    for_seconds: int = 0,
    keep_firing_seconds: int = 0,
) -> Rule:
    """An alert with the labels that every alert has and a link to its heading in the runbook.

    ``severity`` None: each series of ``expr`` has that label.
    """
    rule: Rule = {"alert": name, "expr": _expression(expr)}
    if for_seconds:
        rule["for"] = duration(for_seconds)
    if keep_firing_seconds:
        rule["keep_firing_for"] = duration(keep_firing_seconds)
    rule["labels"] = {"scope": scope} if severity is None else {"severity": severity, "scope": scope}
    rule["annotations"] = {**annotations, "runbook_url": f"{timing.runbook_base_url}{name}"}
    return rule


def group(name: str, rules: list[Rule], *, timing: RuleTiming) -> Rule:
    """A named group; its rules are evaluated in the given order, and each can read the records of earlier ones."""
    return {"name": name, "interval": duration(timing.evaluation_seconds), "rules": rules}
