"""Alerts on waiting events: in Kafka, in workers, and between the tallies and their acknowledgement.

The first two mute alerts on agencies, because rates are wrong while a backlog is half counted. The last one does not: its events
are in the tallies from which rates are read, and only figures of procedures lag.
"""

from __future__ import annotations

from dashboards.rules.annotations import vietnamese_number, whole, whole_en
from dashboards.rules.parts import unless_caused
from dashboards.rules.rule import Rule, alert, firing, texts
from dashboards.rules.timing import RuleTiming, duration


def backlog_alerts(timing: RuleTiming) -> list[Rule]:
    """The alerts on waiting events; those that mute others come first."""
    return [_lag(timing), _backlog(timing), _growing(timing), _standing_still(timing), _late(timing)]


def _alert(name: str, expr: str, timing: RuleTiming, *, for_seconds: int, annotations: dict[str, str]) -> Rule:
    return alert(
        name,
        expr,
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=for_seconds,
        keep_firing_seconds=timing.backlog_keep_firing_seconds,
        annotations=annotations,
    )


def _lag(timing: RuleTiming) -> Rule:
    waiting, limit = "pipeline:lag:events", timing.backlog_limit_events
    return _alert(
        "LagHigh",
        f"{waiting} > {limit} {unless_caused()}",
        timing,
        for_seconds=timing.backlog_for_seconds,
        annotations=texts(
            "Quá nhiều sự kiện đang chờ trong Kafka.",
            "Too many events wait in Kafka.",
            f"{whole(waiting)} sự kiện đang chờ trong Kafka (giới hạn {vietnamese_number(limit)}). Tỷ lệ đang hiển thị chưa "
            f"đầy đủ; "
            "trong thời gian này không có cảnh báo mới theo cơ quan.",
            f"{whole_en(waiting)} events wait in Kafka (limit: {limit:,}). Rates are incomplete, and meanwhile no "
            "new alert about an agency starts.",
        ),
    )


def _backlog(timing: RuleTiming) -> Rule:
    waiting, limit = "pipeline:backlog:events", timing.backlog_limit_events
    return _alert(
        "BacklogHigh",
        f"""
        {waiting} > {limit}
        unless on () pipeline:lag:events > {limit}
        {unless_caused()}
        """,
        timing,
        for_seconds=timing.backlog_for_seconds,
        annotations=texts(
            "Quá nhiều sự kiện đã nhận mà chưa được tính.",
            "Too many events are received and not counted.",
            f"{whole(waiting)} sự kiện chưa có trong bảng tổng hợp (giới hạn {vietnamese_number(limit)}). Tỷ lệ đang hiển thị "
            f"chưa đầy "
            "đủ; trong thời gian này không có cảnh báo mới theo cơ quan.",
            f"{whole_en(waiting)} events are not in the tallies (limit: {limit:,}). Rates are incomplete, and "
            "meanwhile no new alert about an agency starts.",
        ),
    )


def _growing(timing: RuleTiming) -> Rule:
    window = duration(timing.lag_growing_seconds)
    return _alert(
        "LagGrowing",
        f"""
        min_over_time(pipeline:lag:events[{window}]) > {timing.lag_growing_events}
        and deriv(pipeline:lag:events[{window}]) > 0
        unless on () pipeline:lag:events > {timing.backlog_limit_events}
        {unless_caused()}
        """,
        timing,
        for_seconds=timing.lag_growing_seconds,
        annotations=texts(
            "Số sự kiện chờ trong Kafka tăng liên tục.",
            "The number of events that wait in Kafka keeps growing.",
            f"{whole('pipeline:lag:events')} sự kiện đang chờ và số này còn tăng: worker xử lý chậm hơn tốc độ sự kiện đến.",
            f"{whole_en('pipeline:lag:events')} events wait, and the number grows: workers are slower than events arrive.",
        ),
    )


def _standing_still(timing: RuleTiming) -> Rule:
    window = duration(timing.acknowledgement_seconds)
    return _alert(
        "AcknowledgementsStalled",
        f"""
        min_over_time(pipeline:in_flight:events[{window}]) > 0
        and on () sum(increase(portalpulse_worker_acknowledged_events_total[{window}])) == 0
        {unless_caused()}
        """,
        timing,
        for_seconds=timing.backlog_for_seconds,
        annotations=texts(
            "Worker giữ sự kiện mà không xác nhận sự kiện nào.",
            "Workers hold events and acknowledge none.",
            f"{whole('pipeline:in_flight:events')} sự kiện đang được xử lý và không sự kiện nào được xác nhận: worker bị treo, "
            f"hoặc kho dữ "
            "liệu không nhận.",
            f"{whole_en('pipeline:in_flight:events')} events are in progress, and none is acknowledged: a worker hangs, or the "
            f"storage "
            "takes nothing.",
        ),
    )


def _late(timing: RuleTiming) -> Rule:
    late = "(pipeline:in_flight:events - pipeline:untallied:events)"
    return _alert(
        "AcknowledgementsLate",
        f"""
        {late} > {timing.backlog_limit_events}
        unless on () {firing("AcknowledgementsStalled")}
        {unless_caused()}
        """,
        timing,
        for_seconds=timing.acknowledgements_late_for_seconds,
        annotations=texts(
            "Số liệu theo thủ tục chậm hơn số liệu theo cơ quan.",
            "Figures of procedures lag behind those of agencies.",
            f"{whole(late)} sự kiện đã có trong tỷ lệ của cơ quan nhưng chưa có trong số liệu theo thủ tục. Tỷ lệ và cảnh báo "
            f"theo cơ quan "
            "không bị ảnh hưởng.",
            f"{whole_en(late)} events are in the rates of agencies and not yet in the figures of procedures. Rates and alerts "
            f"of agencies "
            "are right.",
        ),
    )
