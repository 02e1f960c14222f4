"""Rules on alerting itself: a heartbeat that must never stop, and failures of Prometheus and Alertmanager."""

from __future__ import annotations

from dashboards.rules.parts import CAUSES
from dashboards.rules.rule import Rule, alert, fired, group, texts
from dashboards.rules.timing import RuleTiming, duration, number


def meta_group(timing: RuleTiming) -> Rule:
    """The rule group of ``meta.yml``."""
    rules = [_watchdog(timing), _rule_failures(timing), _scrapes_missed(timing), _notifications(timing), _reload(timing)]
    return group("meta", rules, timing=timing)


def _alert(name: str, expr: str, timing: RuleTiming, annotations: dict[str, str]) -> Rule:
    return alert(
        name,
        expr,
        severity="warning",
        scope="meta",
        timing=timing,
        for_seconds=timing.meta_for_seconds,
        keep_firing_seconds=timing.meta_seconds,
        annotations=annotations,
    )


def _watchdog(timing: RuleTiming) -> Rule:
    return alert(
        "Watchdog",
        "vector(1)",
        severity="none",
        scope="meta",
        timing=timing,
        annotations=texts(
            "Tín hiệu kiểm tra định kỳ của hệ thống cảnh báo (luôn bật).",
            "Heartbeat of the alerting path; always on.",
            "Khi không còn nhận được tín hiệu này, Prometheus hoặc Alertmanager đã ngừng hoạt động.",
            "When this is no longer received, Prometheus or Alertmanager is down.",
        ),
    )


def _rule_failures(timing: RuleTiming) -> Rule:
    window = duration(timing.meta_seconds)
    return _alert(
        "RuleFailures",
        f"""
        sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total[{window}])) > 0
        or
        sum by (rule_group) (increase(prometheus_rule_group_iterations_missed_total[{window}]))
          > {timing.missed_evaluations_limit}
        """,
        timing,
        texts(
            "Quy tắc cảnh báo không được tính đúng.",
            "Alert rules fail or are not evaluated in time.",
            "Nhóm quy tắc {{ $labels.rule_group }} bị lỗi hoặc bị bỏ lượt: cảnh báo có thể thiếu hoặc muộn. Nhật ký của "
            "Prometheus có lý do.",
            "Rules of {{ $labels.rule_group }} fail or miss evaluations: alerts may be missing or late. The log of Prometheus "
            "has the reason.",
        ),
    )


def _scrapes_missed(timing: RuleTiming) -> Rule:
    """The alert on missed scrapes. It is silent while an alert on a part that is down fired within the window."""
    window, percent = duration(timing.meta_seconds), '{{ $value | printf "%.0f" }} %'
    return _alert(
        "ScrapesMissed",
        f"""
        floor(100 * avg_over_time(up[{window}])) < {number(100 * timing.scrape_share)}
        unless on () {fired(CAUSES, window)}
        """,
        timing,
        texts(
            "Prometheus nhiều lần không đọc được số liệu.",
            "Many scrapes of Prometheus fail.",
            f"{{{{ $labels.job }}}} ({{{{ $labels.instance }}}}) chỉ trả lời {percent} số lần được hỏi: quá tải, hoặc đã dừng.",
            f"{{{{ $labels.job }}}} ({{{{ $labels.instance }}}}) answered {percent} of the scrapes: overloaded, or down.",
        ),
    )


def _notifications(timing: RuleTiming) -> Rule:
    window = duration(timing.meta_seconds)
    return _alert(
        "NotificationsFailing",
        f"""
        sum(increase(alertmanager_notifications_failed_total[{window}])) > 0
        or
        sum(increase(prometheus_notifications_errors_total[{window}])) > 0
        or
        # One that has just started drops alerts until it has found Alertmanager, and sends them again.
        sum(
          increase(prometheus_notifications_dropped_total[{window}])
          unless on (job, instance) changes(process_start_time_seconds[{window}]) > 0
        ) > 0
        or
        max_over_time(prometheus_notifications_alertmanagers_discovered[{window}]) < 1
        """,
        timing,
        texts(
            "Tin về cảnh báo không gửi đi được.",
            "Messages about alerts are not delivered.",
            "Alertmanager không gửi được tin, hoặc Prometheus không chuyển được cảnh báo cho Alertmanager: người nhận không "
            "biết có cảnh báo.",
            "Alertmanager cannot deliver messages, or Prometheus cannot hand alerts to it: recipients do not hear of alerts.",
        ),
    )


def _reload(timing: RuleTiming) -> Rule:
    return _alert(
        "ConfigurationRefused",
        """
        prometheus_config_last_reload_successful == 0
        or
        alertmanager_config_last_reload_successful == 0
        """,
        timing,
        texts(
            "Cấu hình mới bị từ chối.",
            "A new configuration was refused.",
            "{{ $labels.job }} vẫn chạy với cấu hình cũ; sau khi khởi động lại sẽ không chạy được.",
            "{{ $labels.job }} still runs with the old configuration, and will not start again with the new one.",
        ),
    )
