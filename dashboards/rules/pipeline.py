"""Rules on the pipeline: whether it runs, its tallies are correct, it dead-letters too much, and every agency is configured.

The current time is ``portalpulse_clock_timestamp_seconds``, so the same rules apply to live data and to a scenario of 2024.
"""

from __future__ import annotations

from dashboards.rules.annotations import whole
from dashboards.rules.rule import Rule, alert, group, record, seen
from dashboards.rules.timing import RuleTiming, number


def _vietnamese(value: float) -> str:
    return f"{value:,}".replace(",", ".")


def _percent(ratio: float) -> str:
    return f"{number(round(ratio * 100, 7)).replace('.', ',')} %"


def _records(timing: RuleTiming) -> list[Rule]:
    def last(metric: str) -> str:
        return seen(metric, timing)

    return [
        record(
            "pipeline:freshness:seconds",
            f"max({last('portalpulse_clock_timestamp_seconds')}) - max({last('portalpulse_newest_event_timestamp_seconds')})",
        ),
        record("pipeline:tally_lag:rows", f"max(abs({last('portalpulse_tally_lag_rows')}))"),
        record("pipeline:audit_drift:events", f"max(abs({last('portalpulse_audit_drift_events')}))"),
        # Events that workers are processing, including stored events that are not yet tallied. A difference up to this number is
        # not an error.
        record("pipeline:in_flight:events", f"sum({last('portalpulse_worker_unacknowledged_events')}) or vector(0)"),
        # All events between Kafka and the tallies that rates are read from. They are acknowledged later, when the procedures of
        # their days are recounted. Without worker metrics only the lag of the tallies.
        record(
            "pipeline:backlog:events",
            f"""
            pipeline:tally_lag:rows
            + (sum({last("portalpulse_worker_consumer_lag_events")}) or vector(0))
            + (sum({last("portalpulse_worker_untallied_events")}) or vector(0))
            """,
        ),
        record(
            "pipeline:dead_letter_rows_per_received_rows:ratio",
            f"""
            max by (window) ({last("portalpulse_dead_letter_rows")})
            /
            (max by (window) ({last("portalpulse_received_rows")}) > 0)
            """,
        ),
    ]


def _stalled(timing: RuleTiming) -> Rule:
    minutes = "floor(pipeline:freshness:seconds / 60)"
    return alert(
        "PipelineStalled",
        f"pipeline:freshness:seconds > {timing.freshness_limit_seconds} or absent(pipeline:freshness:seconds)",
        severity="critical",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.stall_for_seconds,
        keep_firing_seconds=timing.stall_keep_firing_seconds,
        annotations={
            "summary": "Hệ thống không nhận được sự kiện hồ sơ mới.",
            "summary_en": "No new dossier events arrive.",
            "description": f'{{{{ with query "{minutes}" }}}}Sự kiện mới nhất đã cách đây {whole(minutes)} phút '
            f"(giới hạn {timing.freshness_limit_seconds // 60} phút)"
            "{{ else }}Không đọc được thời điểm của sự kiện mới nhất{{ end }}; "
            "trong thời gian này không có cảnh báo mới nào theo cơ quan.",
        },
    )


def _drift(timing: RuleTiming) -> Rule:
    return alert(
        "TallyDrift",
        f"""
        # more than the events that workers are processing, or a large lag
        pipeline:audit_drift:events > pipeline:in_flight:events
        or pipeline:tally_lag:rows > {timing.drift_limit_events}
        """,
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.drift_for_seconds,
        keep_firing_seconds=timing.drift_keep_firing_seconds,
        annotations={
            "summary": "Bảng tổng hợp lệch so với dữ liệu gốc.",
            "summary_en": "The tallies differ from the raw events.",
            "description": f"Lần đối soát gần nhất phát hiện lệch {whole('pipeline:audit_drift:events')} sự kiện, "
            f"trong đó {whole('pipeline:in_flight:events')} sự kiện có thể đang được xử lý; "
            f"hiện bảng tổng hợp lệch {whole('pipeline:tally_lag:rows')} sự kiện so với dữ liệu gốc "
            f"(giới hạn {_vietnamese(timing.drift_limit_events)}). Tỷ lệ đang hiển thị có thể sai.",
        },
    )


def _dead_letters(timing: RuleTiming) -> Rule:
    ratio = "pipeline:dead_letter_rows_per_received_rows:ratio{window='1h'}"
    return alert(
        "DeadLetterRatioHigh",
        f"""
        pipeline:dead_letter_rows_per_received_rows:ratio{{window="1h"}} > {number(timing.dead_letter_limit_ratio)}
        and on (window) max by (window) ({seen("portalpulse_received_rows", timing)}) >= {timing.dead_letter_min_rows}
        """,
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.dead_letter_for_seconds,
        keep_firing_seconds=timing.dead_letter_keep_firing_seconds,
        annotations={
            "summary": "Tỷ lệ sự kiện bị loại quá cao.",
            "summary_en": "Too many messages are dead-lettered.",
            "description": f'{{{{ with query "floor(1e4 * {ratio} + 1e-6) / 100" }}}}'
            r'{{ . | first | value | printf "%.2f" | reReplaceAll "\\." "," }} % '
            "sự kiện nhận trong 1 giờ qua bị loại "
            f"(giới hạn {_percent(timing.dead_letter_limit_ratio)}).{{{{ end }}}} "
            "Sự kiện bị loại không được tính vào tỷ lệ của cơ quan.",
        },
    )


def _config_missing(timing: RuleTiming) -> Rule:
    threshold, volume, info, figures = (
        seen(metric, timing)
        for metric in ("agency_threshold_ratio", "agency_min_volume", "agency_info", "agency_kpi_denominator")
    )
    return alert(
        "AgencyConfigMissing",
        f"""
        (
          # where one agency can alert, every agency must: it needs threshold, minimum volume and registry entry
          group by (agency, kpi, window) ({figures})
          and on (kpi, window) ({threshold} or {volume})
          unless on (agency, kpi, window)
          (
            {threshold}
            and on (agency, kpi, window) {volume}
            and on (agency) {info}
          )
        )
        or
        # no policy at all: no agency could ever alert
        (group ({figures}) unless on () {threshold})
        """,
        severity="warning",
        scope="pipeline",
        timing=timing,
        for_seconds=timing.config_for_seconds,
        annotations={
            "summary": "Cơ quan thiếu cấu hình cảnh báo.",
            "summary_en": "An agency has figures but no threshold, minimum volume or registry entry.",
            "description": "{{ with $labels.agency }}Cơ quan {{ . }}, chỉ tiêu {{ $labels.kpi }}, "
            "kỳ {{ $labels.window }}: "
            "có số liệu nhưng thiếu ngưỡng, số hồ sơ tối thiểu hoặc tên trong danh mục"
            "{{ else }}Chưa đặt ngưỡng cảnh báo cho bất kỳ cơ quan nào{{ end }}, "
            "vì vậy không có cảnh báo tỷ lệ nào được phát.",
        },
    )


def pipeline_group(timing: RuleTiming) -> Rule:
    """The group of ``pipeline.yml``, whose records the rules on agencies read."""
    rules = [*_records(timing), _stalled(timing), _drift(timing), _dead_letters(timing), _config_missing(timing)]
    return group("pipeline", rules, timing=timing)
