"""Examines Prometheus and Alertmanager: targets, rules and what fires; receivers, and silences that cover everything."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from dashboards.rules.generate import RULES_INFO, RuleTiming, render, rules_version
from deploy.native.doctor.clocks import Clocks, Reading
from deploy.native.doctor.endpoints import json_of, read_clock
from deploy.native.doctor.finding import Finding, guarded
from domain.errors import UnavailableError

_SHOWN: Final = 5
_LOAD: Final = "Give Prometheus the rule files of this release (`portalpulse alerts render`, dashboards/rules) and reload it."
_WAIT: Final = "Ask again in a minute."
#: Prometheus looks for targets and Alertmanagers within so many seconds of its start.
_YOUNG_SECONDS: Final = 60
#: The heartbeat fires always.
_HEARTBEAT: Final = "Watchdog"
_PROMETHEUS, _ALERTMANAGER = "Prometheus", "Alertmanager"


def examine_prometheus(url: str, clocks: Clocks, remedy: str) -> list[Finding]:
    """Whether Prometheus answers, reads every target, has the rules of portalpulse, and knows an Alertmanager.

    Which alerts fire.
    """
    part = "Prometheus' pages"
    try:
        version = json_of(_PROMETHEUS, url, "/api/v1/status/buildinfo", remedy)["data"]["version"]
    except UnavailableError as error:
        return [Finding(part, "wrong", error.problem, error.remedy)]
    except (KeyError, TypeError):
        return [Finding(part, "wrong", f"{url} answers something else than Prometheus", "Correct the address.")]
    before = time.time()

    def asked(path: str, **parameters: str) -> Any:
        return json_of(_PROMETHEUS, url, f"/api/v1/{path}", remedy, parameters=parameters)["data"]

    told = float(asked("query", query="time()")["result"][1])
    after = time.time()
    clocks.add(Reading(f"{_PROMETHEUS} at {url}", told - (before + after) / 2, (after - before) / 2))
    started = _time(asked("status/runtimeinfo")["startTime"])
    young = started is not None and told - started.timestamp() < _YOUNG_SECONDS

    def targets() -> list[Finding]:
        return targets_findings(asked("targets", state="active")["activeTargets"], young=young)

    def rules() -> list[Finding]:
        return rules_findings(asked("rules")["groups"])

    def connected() -> list[Finding]:
        return alertmanagers_findings(asked("alertmanagers")["activeAlertmanagers"], young=young)

    def firing() -> list[Finding]:
        return firing_findings(asked("alerts")["alerts"])

    parts = {"Targets": targets, "Alert rules": rules, "Ways of alerts": connected, "Alerts": firing}
    answering = Finding(part, "ok", f"{url} answers: version {version}", since=started)
    return [answering, *(finding for name, ask in parts.items() for finding in guarded(name, ask))]


def targets_findings(targets: Sequence[Mapping[str, Any]], *, young: bool = False) -> list[Finding]:
    """Whether every target answers Prometheus. ``young``: Prometheus has just started and has not found its targets yet."""
    part = "Targets"
    if not targets and young:
        return [Finding(part, "note", "Prometheus has just started and reads nothing yet", _WAIT)]
    if not targets:
        return [Finding(part, "wrong", "Prometheus reads nothing", "Give Prometheus the scrape configs of docs/deployment.md.")]
    down = [target for target in targets if target["health"] == "down"]
    if not down:
        return [Finding(part, "ok", f"{len(targets)} answer")]
    shown = "; ".join(
        f"{target['labels'].get('job', '')} {target['scrapeUrl']}: {target['lastError']}" for target in down[:_SHOWN]
    )
    says = f"{len(down)} of {len(targets)} do not answer Prometheus: {shown}"
    return [Finding(part, "wrong", says, "Start them, or correct their addresses in prometheus.yml.")]


def rules_findings(groups: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Whether the rules of portalpulse are loaded, are those of this release, and can be evaluated."""
    part = "Alert rules"
    rules = [rule for group in groups for rule in group["rules"]]
    names = {str(rule["name"]) for rule in rules}
    if missing := sorted(_our_alerts().keys() - names):
        loaded = "none of ours is loaded" if len(missing) == len(_our_alerts()) else f"{', '.join(missing[:_SHOWN])} not loaded"
        return [Finding(part, "wrong", loaded, _LOAD)]
    if broken := [rule for rule in rules if rule.get("health") == "err"]:
        shown = "; ".join(f"{rule['name']}: {rule.get('lastError', '')}" for rule in broken[:_SHOWN])
        return [Finding(part, "wrong", f"{len(broken)} cannot be evaluated: {shown}", "See the log of Prometheus.")]
    version = next((rule.get("labels", {}).get("version", "") for rule in rules if rule["name"] == RULES_INFO), "")
    if version != rules_version():
        says = f"those of another release are loaded (version {version or 'unknown'}, this release has {rules_version()})"
        return [Finding(part, "wrong", says, _LOAD)]
    return [Finding(part, "ok", f"{len(rules)} of version {version} are loaded and evaluated")]


def alertmanagers_findings(found: Sequence[Mapping[str, Any]], *, young: bool = False) -> list[Finding]:
    """Whether Prometheus knows an Alertmanager. ``young``: Prometheus has just started and has not found one yet."""
    part = "Ways of alerts"
    if not found and young:
        return [Finding(part, "note", "Prometheus has just started and has found no Alertmanager yet", _WAIT)]
    if not found:
        return [
            Finding(
                part,
                "wrong",
                "Prometheus knows no Alertmanager: nobody is told",
                "Name one in the section `alerting:` of prometheus.yml.",
            )
        ]
    return [Finding(part, "ok", f"Prometheus tells {', '.join(str(each['url']) for each in found)}")]


def firing_findings(alerts: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Which alerts on the pipeline and on alerting fire, and since when; alerts on agencies do not concern the set-up."""
    part = "Alerts"
    ours = [
        alert
        for alert in alerts
        if alert["state"] == "firing"
        and alert["labels"].get("scope") in {"pipeline", "meta"}
        and alert["labels"].get("alertname") != _HEARTBEAT
    ]
    if not ours:
        return [Finding(part, "ok", "none about the pipeline fires")]
    return [
        Finding(
            part,
            "note",
            f"{alert['labels']['alertname']} fires: {alert['annotations'].get('summary_en', '')}".rstrip(": "),
            f"pipeline/runbook/en.md, {alert['labels']['alertname']}.",
            _time(alert.get("activeAt", "")),
        )
        for alert in ours[:_SHOWN]
    ]


def examine_alertmanager(url: str, clocks: Clocks, remedy: str) -> list[Finding]:
    """Whether Alertmanager answers, has receivers that send messages, and has no silence that covers every alert."""
    part = "Alertmanager's pages"
    try:
        status = json_of(_ALERTMANAGER, url, "/api/v2/status", remedy)
        version, config = status["versionInfo"]["version"], status["config"]["original"]
    except UnavailableError as error:
        return [Finding(part, "wrong", error.problem, error.remedy)]
    except (KeyError, TypeError):
        return [Finding(part, "wrong", f"{url} answers something else than Alertmanager", "Correct the address.")]
    read_clock(f"{_ALERTMANAGER} at {url}", f"{url.rstrip('/')}/-/ready", clocks)
    started = _time(status.get("uptime", ""))

    def silences() -> list[Finding]:
        return silences_findings(json_of(_ALERTMANAGER, url, "/api/v2/silences", remedy))

    answering = Finding(part, "ok", f"{url} answers: version {version}", since=started)
    return [answering, *receivers_findings(config), *guarded("Silences", silences)]


def receivers_findings(config: str) -> list[Finding]:
    """Whether the receivers in a configuration of Alertmanager send messages to anybody. Secrets in it are hidden."""
    part = "Receivers"
    try:
        receivers = yaml.safe_load(config)["receivers"]
        telling = [each["name"] for each in receivers if any(key.endswith("_configs") and each[key] for key in each)]
    except (yaml.YAMLError, KeyError, TypeError):
        return [Finding(part, "note", "the configuration of Alertmanager cannot be read", "See /#/status of Alertmanager.")]
    if not telling:
        remedy = "Write routes with receivers: `portalpulse alerts render --recipients recipients.yaml`."
        return [Finding(part, "wrong", "none of them tells anybody: alerts reach nobody", remedy)]
    return [Finding(part, "ok", f"{len(telling)} of {len(receivers)} tell somebody")]


def silences_findings(silences: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Whether a silence covers every alert of portalpulse."""
    part = "Silences"
    active = [silence for silence in silences if silence["status"]["state"] == "active"]
    for silence in active:
        covered = [name for name, labels in _our_alerts().items() if _covers(silence["matchers"], labels)]
        if len(covered) == len(_our_alerts()):
            says = (
                f"the silence {silence['id']} of {silence.get('createdBy') or 'nobody'} covers every alert until "
                f"{silence.get('endsAt', '')}: {silence.get('comment', '')}".rstrip(": ")
            )
            return [Finding(part, "wrong", says, f"amtool silence expire {silence['id']}", _time(silence.get("startsAt", "")))]
    if active:
        says = f"{len(active)} active, none of which covers everything"
        return [Finding(part, "ok", says)]
    return [Finding(part, "ok", "none is active")]


def _covers(matchers: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> bool:
    """Whether matchers match every series of an alert with these labels, whatever its further labels are.

    RE2 is read as Python's ``re``.
    """
    return all(_holds(matcher, labels.get(str(matcher["name"]))) for matcher in matchers)


def _holds(matcher: Mapping[str, Any], value: str | None) -> bool:
    wanted, equal = str(matcher["value"]), bool(matcher.get("isEqual", True))
    if not matcher.get("isRegex", False):
        return value is not None and (value == wanted) == equal
    if value is None:  # of the series: only what matches any text holds for certain
        return equal and wanted in {".*", ".+|"}
    try:
        return (re.fullmatch(wanted, value) is not None) == equal
    except re.error:
        return False


def _our_alerts() -> dict[str, dict[str, str]]:
    """Alert of portalpulse -> the labels that each of its series has; without the heartbeat."""
    found = {}
    for text in render(RuleTiming.production()).values():
        for group in yaml.safe_load(text)["groups"]:
            for rule in group["rules"]:
                if "alert" in rule and rule["alert"] != _HEARTBEAT:
                    found[str(rule["alert"])] = {"alertname": str(rule["alert"])} | rule["labels"]
    return found


def _time(text: str) -> dt.datetime | None:
    try:
        # Prometheus writes nanoseconds, of which Python reads six digits.
        return dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone(dt.UTC)
    except ValueError:
        return None
