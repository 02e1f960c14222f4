"""What ``produce --scenario live`` prints before it sends: the rate of the hour, and when a collapse raises its alert."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.settings import ThresholdPolicy
    from producers.portals.live import LiveTraffic

#: From a low rate to the delivered alert: scrape, evaluation and waiting times of the alert rules (a test compares them).
QUICK_ALERT_SECONDS: Final = 20.0
ALERT_SECONDS: Final = 700.0


def expectations(
    traffic: LiveTraffic, *, rate: float | None, office: bool, now: dt.datetime, policies: Sequence[ThresholdPolicy]
) -> Iterator[str]:
    """Sentences about the traffic: its rate now, and when a collapse raises its alert.

    Args:
        traffic: the traffic that is going to be sent.
        rate: messages a second at the busiest hour; None: as many as possible.
        office: whether the traffic follows office hours.
        now: the present.
        policies: the policies of the alerts.
    """
    from domain.periods import VIETNAM  # noqa: PLC0415 - --help need not load it

    current = traffic.rate_now()
    if rate is not None and current is not None and office:
        yield (
            f"At {now.astimezone(VIETNAM):%H:%M} in Viet Nam the office shape sends {current / rate:.0%} of"
            f" {rate:g} messages/s: {current:.2g}/s. --shape steady sends all of them."
        )
    collapse = traffic.collapse
    if collapse is None:
        return
    counted = [policy for policy in policies if policy.kpi == "I1"]
    expected = [traffic.seconds_until_low(ratio=policy.ratio, min_volume=policy.min_volume) for policy in counted]
    low = min((seconds for seconds in expected if seconds is not None), default=None)
    if low is None:
        yield f"{collapse.agency} falls to {collapse.share:.2%}, which is below no threshold: there will be no alert."
        return
    yield (
        f"{collapse.agency} falls to {collapse.share:.2%}"
        + (f" after {collapse.after:g} s" if collapse.after else "")
        + f". Without earlier events, expect its alert after about {_duration(low + QUICK_ALERT_SECONDS)} with"
        f" `portalpulse up --quick-alerts`, and {_duration(low + ALERT_SECONDS)} without."
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"
