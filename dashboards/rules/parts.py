"""Alerts on parts that are down and on a stream without new events, each with a text of its own.

An alert on a consequence is silent while the alert on its cause fires: when Kafka is down, operations get one message and not
five.
"""

from __future__ import annotations

from typing import Final

from dashboards.rules.annotations import age, age_en
from dashboards.rules.rule import Rule, alert, firing, seen, texts, with_label
from dashboards.rules.timing import RuleTiming

#: What explains that nothing moves.
CAUSES: Final = "ExporterDown|ClickHouseDown|KafkaDown|WorkerDown|NoPartitionsAssigned"
_MUTED: Final = "Trong thời gian này không có cảnh báo mới theo cơ quan."
_MUTED_EN: Final = "Meanwhile no new alert about an agency starts."


def unless_caused() -> str:
    """The end of an expression that is silent while a part is down."""
    return f"unless on () {firing(CAUSES)}"


def part_alerts(timing: RuleTiming) -> list[Rule]:
    """The alerts on parts that are down or stand still, causes before their consequences."""
    return [
        _exporter_down(timing),
        _storage_down(timing),
        _kafka_down(timing),
        _worker_down(timing),
        _no_partitions(timing),
        _no_events(timing),
        _stalled(timing),
    ]


def _part(name: str, expr: str, timing: RuleTiming, annotations: dict[str, str], *, for_seconds: int | None = None) -> Rule:
    return alert(
        name,
        expr,
        severity="critical",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.part_for_seconds if for_seconds is None else for_seconds,
        keep_firing_seconds=timing.part_keep_firing_seconds,
        annotations=annotations,
    )


def _exporter_down(timing: RuleTiming) -> Rule:
    answers = seen("portalpulse_storage_up", timing)
    worker = seen("portalpulse_worker_assigned_partitions", timing)
    return _part(
        "ExporterDown",
        f"absent({answers})",
        timing,
        texts(
            "Chương trình xuất số liệu không trả lời.",
            "The exporter does not answer.",
            "Prometheus không đọc được số liệu từ chương trình xuất số liệu"
            f'{{{{ with query "absent({worker})" }}}} và từ worker{{{{ end }}}}: '
            f"không biết tỷ lệ hiện tại; các cảnh báo đang có được giữ nguyên. {_MUTED}",
            'Prometheus gets no figures from the exporter{{ with query "absent('
            f"{worker})"
            '" }} and none from a worker{{ end }}: present rates are not known, and alerts that fire go on. '
            f"{_MUTED_EN}",
        ),
    )


def _storage_down(timing: RuleTiming) -> Rule:
    return _part(
        "ClickHouseDown",
        f"max(max_over_time(portalpulse_storage_up[{timing.guard}])) == 0",
        timing,
        texts(
            "Kho dữ liệu ClickHouse không trả lời.",
            "ClickHouse does not answer.",
            "Chương trình xuất số liệu chạy nhưng ClickHouse không trả lời kịp: không biết tỷ lệ hiện tại; các cảnh báo đang có "
            f"được giữ nguyên. {_MUTED}",
            "The exporter runs, and ClickHouse does not answer it in time: present rates are not known, and alerts that fire go "
            f"on. {_MUTED_EN}",
        ),
    )


def _kafka_down(timing: RuleTiming) -> Rule:
    return _part(
        "KafkaDown",
        f"max(max_over_time(portalpulse_kafka_up[{timing.guard}])) == 0",
        timing,
        texts(
            "Kafka không trả lời.",
            "Kafka does not answer.",
            f"Sự kiện của các cổng không đến được hệ thống. {_MUTED}",
            f"Events of the portals do not arrive. {_MUTED_EN}",
        ),
    )


def _worker_down(timing: RuleTiming) -> Rule:
    worker = seen("portalpulse_worker_assigned_partitions", timing)
    return _part(
        "WorkerDown",
        f"""
        absent({worker})
        unless on () absent({seen("portalpulse_storage_up", timing)})
        unless on () {firing("KafkaDown")}
        """,
        timing,
        texts(
            "Không có tiến trình xử lý sự kiện (worker) nào trả lời.",
            "No worker answers.",
            f"Sự kiện chờ trong Kafka và chưa được tính; không mất sự kiện nào. {_MUTED}",
            f"Events wait in Kafka and are not counted; none is lost. {_MUTED_EN}",
        ),
    )


def _no_partitions(timing: RuleTiming) -> Rule:
    return _part(
        "NoPartitionsAssigned",
        f"""
        sum(max_over_time(portalpulse_worker_assigned_partitions[{timing.guard}])) == 0
        unless on () {firing("KafkaDown")}
        """,
        timing,
        texts(
            "Worker chạy nhưng không được giao phân vùng nào.",
            "Workers run and no partition is assigned to them.",
            f"Sự kiện chờ trong Kafka và chưa được tính: nhóm worker chưa ổn định, hoặc chủ đề (topic) sai. {_MUTED}",
            f"Events wait in Kafka and are not counted: the group is not stable, or the topic is wrong. {_MUTED_EN}",
        ),
        for_seconds=timing.rebalance_for_seconds,
    )


def _no_events(timing: RuleTiming) -> Rule:
    return alert(
        "NoEventsYet",
        f"""
        max(max_over_time(portalpulse_storage_up[{timing.guard}])) == 1
        unless on () {seen("portalpulse_newest_event_timestamp_seconds", timing)}
        {unless_caused()}
        """,
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.no_events_for_seconds,
        annotations=texts(
            "Hệ thống chưa nhận được sự kiện nào.",
            "No event has ever arrived.",
            "Hệ thống chạy nhưng chưa có sự kiện nào trong kho dữ liệu: cổng nào chưa kết nối, hay chủ đề (topic) sai?",
            "The system runs and its storage holds no event: is a portal connected, and is the topic right?",
        ),
    )


def _stalled(timing: RuleTiming) -> Rule:
    """The alert on a stream without new events: critical in office hours, otherwise only info, so that nobody is called."""
    limit = timing.freshness_limit_seconds
    seconds = "pipeline:freshness:seconds"
    working = f"pipeline:quiet_working:seconds > {limit}"
    late = f"(pipeline:freshness:seconds > {limit})"
    return alert(
        "PipelineStalled",
        f"""
        (
          {with_label(f"({late} and on () {working})", "severity", "critical")}
          or
          {with_label(f"({late} unless on () {working})", "severity", "info")}
        )
        {unless_caused()}
        """,
        severity=None,
        scope="pipeline",
        timing=timing,
        for_seconds=timing.stall_for_seconds,
        keep_firing_seconds=timing.stall_keep_firing_seconds,
        annotations=texts(
            "Hệ thống không nhận được sự kiện hồ sơ mới.",
            "No new dossier events arrive.",
            f"Sự kiện mới nhất đã cách đây {age(seconds)} (giới hạn {limit // 60} phút)"
            '{{ if eq $labels.severity "info" }}, ngoài giờ làm việc{{ end }}. '
            f"{_MUTED}",
            f"The newest event is {age_en(seconds)} old (limit: {limit // 60} minutes)"
            '{{ if eq $labels.severity "info" }}, outside office hours{{ end }}. '
            f"{_MUTED_EN}",
        ),
    )
