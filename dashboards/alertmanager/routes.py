"""Builds the routes from a recipients file: which receiver gets an alert, how alerts are grouped, which inhibit others.

Every receiver posts to the relay, at one address for each recipient and channel, so that Alertmanager repeats only the deliveries
that failed. The file that Alertmanager reads holds no password, token or address of a person.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, Final

from dashboards.alertmanager.timing import AlertTiming
from dashboards.notify.recipients_file import Directory
from dashboards.rules.timing import duration

OPERATIONS: Final = "operations"
OPERATIONS_AGENCIES: Final = "operations-agencies"
DEFAULT: Final = "agency-default"
HEARTBEAT: Final = "heartbeat"
SELF_MONITORING: Final = "self-monitoring"
TERMINAL: Final = "terminal"

#: Faults after which figures of agencies prove nothing: while one of them fires, agencies hear nothing.
MUTING_FAULTS: Final = (
    "PipelineStalled",
    "NoEventsYet",
    "WorkerDown",
    "ExporterDown",
    "KafkaDown",
    "InMemoryBrokerDown",
    "ClickHouseDown",
    "NoPartitionsAssigned",
    "LagHigh",
    "BacklogHigh",
    "StackStopped",
)
#: The ladder from the worst rung; of one agency, indicator and window only the worst is heard.
RUNGS: Final = ("zero", "below5", "below10", "target")
#: Sent over the checker of the heartbeat as well: the relay may be what fails.
_NOT_OVER_THE_RELAY_ALONE: Final = "NotificationsFailing"


def agency_receiver(code: str) -> str:
    """The name of the receiver for an agency's recipients."""
    return f"agency-{code}"


def escalation_receiver(code: str, after: dt.timedelta) -> str:
    """The name of the receiver for the superiors of an agency's recipients who are told after the time ``after``."""
    return f"superior-{code}-{duration(int(after.total_seconds()))}"


def routed_config(
    directory: Directory,
    *,
    timing: AlertTiming,
    relay_url: str,
    heartbeat_url: str | None = None,
    terminal_url: str | None = None,
    token_file: str | None = None,
) -> dict[str, Any]:
    """The configuration of Alertmanager, as a mapping.

    Args:
        directory: the recipients.
        timing: waits and repeats.
        relay_url: address of the relay, without a path.
        heartbeat_url: address of ``portalpulse watchdog``; None: the heartbeat is dropped.
        terminal_url: a webhook that gets every alert at once and ungrouped, such as the terminal of ``portalpulse up``; None:
            none.
        token_file: file from which Alertmanager reads the token for relay and watchdog; None: it sends no token.
    """
    hooks = _Hooks(directory, relay_url.rstrip("/"), token_file)
    escalations = {code: _escalations(directory, keys) for code, keys in directory.agencies.items()}
    routes: list[dict[str, Any]] = [_heartbeat_route(timing)]
    receivers = [_receiver(HEARTBEAT, [] if heartbeat_url is None else [_hook(heartbeat_url, token_file, resolved=False)])]
    if terminal_url is not None:
        routes.append({"receiver": TERMINAL, "group_by": ["..."], "group_wait": "1s", "continue": True})
        receivers.append(_receiver(TERMINAL, [_hook(terminal_url)]))
    operations = hooks.of(directory.recipients.operations)
    if heartbeat_url is not None:
        routes.append({"matchers": [f'alertname="{_NOT_OVER_THE_RELAY_ALONE}"'], "receiver": SELF_MONITORING})
        receivers.append(_receiver(SELF_MONITORING, [*operations, _hook(heartbeat_url, token_file)]))
    routes += [_pipeline_route(timing), _operations_route(timing), _agency_route(directory, escalations, timing)]
    receivers += [_receiver(OPERATIONS, operations), _receiver(OPERATIONS_AGENCIES, operations)]
    # Operations have every agency alert already: a default of their own is for others.
    receivers.append(_receiver(DEFAULT, hooks.of(directory.recipients.default)))
    for code, keys in directory.agencies.items():
        if keys:
            receivers.append(_receiver(agency_receiver(code), hooks.of(keys)))
        for after, superiors in escalations[code].items():
            receivers.append(_receiver(escalation_receiver(code, after), hooks.of(superiors)))
    return {
        # Prometheus resends an alert about every minute. An alert that is not resent for this long counts as resolved.
        "global": {"resolve_timeout": "5m"},
        "route": base_route(OPERATIONS, timing) | {"routes": routes},
        "inhibit_rules": inhibitions(),
        "receivers": receivers,
    }


def base_route(receiver: str, timing: AlertTiming) -> dict[str, Any]:
    """The root of the tree of routes, which gets every alert that no other route takes."""
    return {
        "receiver": receiver,
        "group_by": ["alertname"],
        "group_wait": duration(timing.group_wait_seconds),
        "group_interval": duration(timing.group_interval_seconds),
        "repeat_interval": duration(timing.repeat_interval_seconds),
    }


def inhibitions() -> list[dict[str, Any]]:
    """The inhibition rules: which alerts mute others. The heartbeat (scope="meta") is never muted."""
    rules: list[dict[str, Any]] = [
        {
            "source_matchers": ['scope="pipeline"', f'alertname=~"{"|".join(MUTING_FAULTS)}"'],
            "target_matchers": ['scope="agency"'],
        }
    ]
    for number, rung in enumerate(RUNGS[:-1], 1):
        rules.append(
            {
                "source_matchers": ['alertname="AgencyRateLow"', f'rung="{rung}"'],
                "target_matchers": ['alertname="AgencyRateLow"', f'rung=~"{"|".join(RUNGS[number:])}"'],
                "equal": ["agency", "kpi", "window"],
            }
        )
    rules += [
        # Below 5 % says more than "halved".
        {
            "source_matchers": ['alertname="AgencyRateLow"', 'rung=~"zero|below5"'],
            "target_matchers": ['alertname="AgencyRateDropped"'],
            "equal": ["agency", "kpi"],
        },
        # The rates of a silent agency are old, and whether dossiers were accepted in time is not known.
        {
            "source_matchers": ['alertname="AgencySilent"'],
            "target_matchers": ['alertname=~"AgencyRate.+|AgencyOffPace|AgencyAcceptedLate"'],
            "equal": ["agency"],
        },
    ]
    return rules


class _Hooks:
    """The webhooks through which the relay gets the messages for some recipients."""

    def __init__(self, directory: Directory, relay_url: str, token_file: str | None) -> None:
        self._directory, self._relay, self._token_file = directory, relay_url, token_file

    def of(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        return [
            _hook(f"{self._relay}/deliver/{key}/{channel}", self._token_file)
            for key in dict.fromkeys(keys)
            for channel in self._directory.person(key).channels.names
        ]


def _hook(url: str, token_file: str | None = None, *, resolved: bool = True) -> dict[str, Any]:
    token = {} if token_file is None else {"http_config": {"authorization": {"credentials_file": token_file}}}
    return {"url": url, "send_resolved": resolved, **token}


def _receiver(name: str, hooks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "webhook_configs": list(hooks)} if hooks else {"name": name}


def _heartbeat_route(timing: AlertTiming) -> dict[str, Any]:
    return {
        "matchers": ['alertname="Watchdog"'],
        "receiver": HEARTBEAT,
        "group_wait": "0s",
        "group_interval": duration(timing.heartbeat_interval_seconds),
        "repeat_interval": duration(timing.heartbeat_repeat_seconds),
    }


def _pipeline_route(timing: AlertTiming) -> dict[str, Any]:
    return {
        "matchers": ['scope="pipeline"'],
        "receiver": OPERATIONS,
        "group_by": ["alertname"],
        "group_wait": duration(timing.pipeline_group_wait_seconds),
        "routes": [{"matchers": ['severity="critical"'], "repeat_interval": duration(timing.pipeline_repeat_interval_seconds)}],
        "repeat_interval": duration(timing.agency_repeat_interval_seconds),
    }


def _operations_route(timing: AlertTiming) -> dict[str, Any]:
    """The route of operations for alerts on agencies: one group for each alert name, so that eighty agencies are one message."""
    return {
        "matchers": ['scope="agency"'],
        "receiver": OPERATIONS_AGENCIES,
        "group_by": ["alertname"],
        "group_interval": duration(timing.operations_group_interval_seconds),
        "repeat_interval": duration(timing.agency_repeat_interval_seconds),
        "continue": True,
    }


def _agency_route(
    directory: Directory, escalations: dict[str, dict[dt.timedelta, tuple[str, ...]]], timing: AlertTiming
) -> dict[str, Any]:
    children = []
    for code, keys in directory.agencies.items():
        for after in escalations[code]:
            # A group waits this long before it is first sent, and is not sent when it ended meanwhile.
            wait = max(1, round(after.total_seconds() / timing.escalation_divisor))
            children.append(
                {
                    "matchers": [f'agency="{code}"', 'severity="critical"'],
                    "receiver": escalation_receiver(code, after),
                    "group_wait": duration(wait),
                    "continue": True,
                }
            )
        if keys:
            children.append({"matchers": [f'agency="{code}"'], "receiver": agency_receiver(code)})
    return {
        "matchers": ['scope="agency"'],
        "receiver": DEFAULT,
        "group_by": ["agency"],
        "repeat_interval": duration(timing.agency_repeat_interval_seconds),
        "routes": children,
    }


def _escalations(directory: Directory, keys: Sequence[str]) -> dict[dt.timedelta, tuple[str, ...]]:
    """Time -> the superiors who are told after it, of an agency's recipients; without those who are told at once anyway."""
    found: dict[dt.timedelta, tuple[str, ...]] = {}
    for key in keys:
        escalation = directory.person(key).escalation
        if escalation is not None and escalation.to not in keys:
            found[escalation.after] = tuple(dict.fromkeys((*found.get(escalation.after, ()), escalation.to)))
    return dict(sorted(found.items()))
