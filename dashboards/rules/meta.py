"""Rules on alerting itself: a heartbeat that must never stop, which is monitored from another machine."""

from __future__ import annotations

from dashboards.rules.rule import Rule, alert, group
from dashboards.rules.timing import RuleTiming


def meta_group(timing: RuleTiming) -> Rule:
    """The group of ``meta.yml``."""
    watchdog = alert(
        "Watchdog",
        "vector(1)",
        severity="none",
        scope="meta",
        timing=timing,
        annotations={
            "summary": "Tín hiệu kiểm tra định kỳ của hệ thống cảnh báo (luôn bật).",
            "summary_en": "Heartbeat of the alerting path; always on.",
            "description": "Khi không còn nhận được tín hiệu này, Prometheus hoặc Alertmanager đã ngừng hoạt động.",
        },
    )
    return group("meta", [watchdog], timing=timing)
