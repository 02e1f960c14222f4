"""How fast a rehearsal runs: every duration of rules and routes divided by one factor; 1 is real time."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Final, Self

from dashboards.alertmanager.timing import AlertTiming
from dashboards.notify.present import SETTLED_AFTER
from dashboards.notify.relay import FORGOTTEN_AFTER, REPEATED_WITHIN
from dashboards.rules.timing import RuleTiming
from deploy.native.services.prometheus import Pace

#: The defaults of Prometheus, which the rules rely on (seconds).
_RESEND: Final = 60
_GRACE: Final = 600
_LOOKBACK: Final = 300
#: ``portalpulse watchdog`` tells of a silence of this length (seconds).
_SILENCE: Final = 180
_SCRAPE: Final = 5
_SHORTEST_SCRAPE: Final = 3
#: How long a part is gone (seconds), as far as the rules need no longer.
_OUTAGE: Final = 20 * 60


def _at_least(timing: RuleTiming, **limits: int) -> RuleTiming:
    return replace(timing, **{name: max(seconds, getattr(timing, name)) for name, seconds in limits.items()})


@dataclass(frozen=True, slots=True)
class Tempo:
    """Timings of rules, routes and Prometheus, and of the parts beside them."""

    factor: int
    rules: RuleTiming
    routes: AlertTiming
    pace: Pace

    @classmethod
    def divided(cls, factor: int) -> Self:
        """The production timings with every duration divided by ``factor``.

        Some durations depend on the machine, which does not get faster: a scrape may take more than a second when the machine is
        busy, a worker needs some seconds to be ready again, and the audit needs ten until it reports that Kafka is gone. These
        durations keep a minimum, and an alert on a consequence stays slower than the alert on its cause.
        """
        rules = RuleTiming.production().faster(factor)
        if factor > 1:
            rules = _at_least(
                rules,
                evaluation_seconds=2,
                sample_guard_seconds=12,
                part_for_seconds=10,
                part_keep_firing_seconds=15,
                freshness_limit_seconds=60,
                rebalance_for_seconds=15,
                backlog_for_seconds=10,
                acknowledgement_seconds=180,
                lag_growing_seconds=20,
                findings_age_limit_seconds=600,
                meta_seconds=60,
                meta_for_seconds=30,
                storage_errors_seconds=60,
                storage_errors_for_seconds=40,
            )
        pace = Pace(scrape=max(_SHORTEST_SCRAPE, _SCRAPE // factor), evaluate=rules.evaluation_seconds)
        return cls(factor, rules, AlertTiming.production().faster(factor), pace)

    @classmethod
    def direct(cls) -> Self:
        """Timings without ``for`` and with a scrape every five seconds, to measure how long an event takes to a mailbox."""
        rules = replace(
            _at_least(
                RuleTiming.production().faster(180),
                sample_guard_seconds=12,
                part_for_seconds=12,
                freshness_limit_seconds=60,
                findings_age_limit_seconds=600,
                meta_seconds=15,
            ),
            agency_for_seconds=0,
            meta_for_seconds=60,
        )
        return cls(180, rules, AlertTiming.production().faster(180), Pace(scrape=_SCRAPE, evaluate=rules.evaluation_seconds))

    @property
    def outage_seconds(self) -> int:
        """How long a part is down in seconds: longer than an alert that nothing holds needs to end, and a stall to be told."""
        rules = self.rules
        ended = rules.sample_guard_seconds + rules.agency_keep_firing_seconds
        stalled = rules.freshness_limit_seconds + rules.stall_for_seconds
        return max(max(ended, stalled) + 3 * self._short(60), _OUTAGE // self.factor)

    @property
    def resend_delay(self) -> str:
        """The option ``resend_delay`` of ``PrometheusServer``."""
        return f"{self._short(_RESEND)}s"

    @property
    def prometheus_options(self) -> tuple[str, ...]:
        """Options of Prometheus for durations that are not in rules or configuration."""
        lookback = max(self._short(_LOOKBACK), 2 * self.rules.sample_guard_seconds)
        return (
            f"--rules.alert.for-grace-period={self.rules.agency_for_seconds if self.factor > 1 else _GRACE}s",
            f"--query.lookback-delta={lookback}s",
        )

    @property
    def silence_seconds(self) -> float:
        """Seconds of silence of the heartbeat after which people are told."""
        return max(10.0, _SILENCE / self.factor)

    @property
    def settled_after(self) -> dt.timedelta:
        """The option ``settled_after`` of ``present.Prometheus``; at least two scrapes."""
        return max(dt.timedelta(seconds=10), SETTLED_AFTER / self.factor)

    @property
    def forgotten_after(self) -> dt.timedelta:
        """The option ``forgotten_after`` of ``Relay``."""
        return FORGOTTEN_AFTER / self.factor

    @property
    def repeated_within(self) -> dt.timedelta:
        """The option ``repeated_within`` of ``Relay``."""
        return REPEATED_WITHIN / self.factor

    @property
    def longest_interval(self) -> float:
        """The longest time in seconds for which Alertmanager may keep a change of a group back, and some seconds to send it."""
        return 3.0 + max(self.routes.operations_group_interval_seconds, self.routes.group_interval_seconds)

    @property
    def patience(self) -> float:
        """Seconds after which a message that has not been received will not come any more."""
        rules, routes = self.rules, self.routes
        longest = max(rules.agency_for_seconds, rules.agency_keep_firing_seconds, rules.sample_guard_seconds)
        told = 2 * max(routes.operations_group_interval_seconds, routes.group_interval_seconds)
        return 90.0 + longest + self.silence_seconds + told + self.longest_interval

    def _short(self, seconds: int) -> int:
        return max(1, seconds // self.factor)
