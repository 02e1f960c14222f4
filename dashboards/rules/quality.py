"""Alerts on wrong or unchecked counts: results and age of the audit, age of findings, dead letters, agencies without alerts."""

from __future__ import annotations

from dashboards.rules.annotations import vietnamese_number, vietnamese_percent, whole, whole_en
from dashboards.rules.parts import unless_caused
from dashboards.rules.rule import Rule, Severity, alert, seen, texts
from dashboards.rules.timing import RuleTiming, duration, number


def quality_alerts(timing: RuleTiming) -> list[Rule]:
    """The alerts on wrong or unchecked counts; those on wrong figures come first."""
    return [
        _drift(timing),
        _tallies_behind(timing),
        _audit_failing(timing),
        _audit_old(timing),
        _findings_old(timing),
        _dead_letters(timing),
        _config_missing(timing),
    ]


def _alert(
    name: str,
    expr: str,
    timing: RuleTiming,
    *,
    for_seconds: int,
    annotations: dict[str, str],
    keep_firing_seconds: int = 0,
    severity: Severity = "warning",
) -> Rule:
    return alert(
        name,
        expr,
        severity=severity,
        scope="pipeline",
        timing=timing,
        for_seconds=for_seconds,
        keep_firing_seconds=keep_firing_seconds,
        annotations=annotations,
    )


def _drift(timing: RuleTiming) -> Rule:
    """The alert on drift: the audit reports only confirmed differences without events in hand, so any value above 0 is wrong."""
    drift = "pipeline:audit_drift:events"
    return _alert(
        "TallyDrift",
        f"{drift} > 0",
        timing,
        for_seconds=timing.drift_for_seconds,
        keep_firing_seconds=timing.drift_keep_firing_seconds,
        severity="critical",
        annotations=texts(
            "Bảng tổng hợp lệch so với dữ liệu gốc.",
            "The tallies differ from the stored events.",
            f"Đối soát xác nhận lệch {whole(drift)} sự kiện, không kể sự kiện đang được xử lý. Tỷ lệ đang hiển thị có thể sai.",
            f"The audit confirmed that {whole_en(drift)} events are counted wrongly, besides those in progress. Rates may be "
            f"wrong.",
        ),
    )


def _tallies_behind(timing: RuleTiming) -> Rule:
    lag, limit = "pipeline:tally_lag:rows", timing.tally_lag_limit_events
    return _alert(
        "TalliesBehind",
        f"{lag} > {limit} {unless_caused()}",
        timing,
        for_seconds=timing.tally_lag_for_seconds,
        keep_firing_seconds=timing.drift_keep_firing_seconds,
        annotations=texts(
            "Bảng tổng hợp chậm so với dữ liệu gốc.",
            "The tallies lag behind the stored events.",
            f"Bảng tổng hợp chênh {whole(lag)} sự kiện so với dữ liệu gốc (giới hạn {vietnamese_number(limit)}): worker lưu được "
            "nhưng đếm không kịp. Tỷ lệ đang hiển thị chưa đầy đủ.",
            f"The tallies are {whole_en(lag)} events off the stored ones (limit: {limit:,}): workers store and do not count in "
            f"time. "
            "Rates are incomplete.",
        ),
    )


def _audit_failing(timing: RuleTiming) -> Rule:
    window = duration(timing.audit_failing_seconds)
    return _alert(
        "AuditFailing",
        f"""
        max(increase(portalpulse_audit_failures_total[{window}])) > 0
        and on () max(changes(portalpulse_audit_last_success_timestamp_seconds[{window}])) == 0
        {unless_caused()}
        """,
        timing,
        for_seconds=timing.audit_failing_seconds,
        annotations=texts(
            "Đối soát liên tục thất bại.",
            "The audit keeps failing.",
            "Không vòng đối soát nào thành công gần đây, nên không biết bảng tổng hợp có đúng không. Nhật ký có audit_failed "
            "kèm lý do.",
            "No round of the audit succeeded lately, so nobody knows whether the tallies are right. The log has audit_failed "
            "with the "
            "reason.",
        ),
    )


def _audit_old(timing: RuleTiming) -> Rule:
    limit = timing.audit_age_limit_seconds
    return _alert(
        "AuditOld",
        f"pipeline:audit_age:seconds > {limit} {unless_caused()}",
        timing,
        for_seconds=timing.audit_age_for_seconds,
        annotations=texts(
            "Lâu chưa có kết quả đối soát.",
            "The audit has not finished a round for long.",
            f"Không vòng đối soát nào kết thúc trong {vietnamese_number(limit // 60)} phút qua, nên không biết bảng tổng hợp "
            f"có đúng không.",
            f"No round of the audit has ended within {limit // 60:,} minutes, so nobody knows whether the tallies are right.",
        ),
    )


def _findings_old(timing: RuleTiming) -> Rule:
    limit = timing.findings_age_limit_seconds
    return _alert(
        "FindingsOld",
        f"pipeline:findings_age:seconds > {limit} {unless_caused()}",
        timing,
        for_seconds=timing.findings_age_for_seconds,
        annotations=texts(
            "Lâu chưa có kết quả rà soát hồ sơ.",
            "Findings have not been counted for long.",
            f"Không lần rà soát nào kết thúc trong {vietnamese_number(limit // 60)} phút qua: số phát hiện đang cũ, và không có "
            "cảnh báo mới về tiếp nhận trễ. Nhật ký có findings_failed kèm lý do.",
            f"No search for findings has ended within {limit // 60:,} minutes: their numbers are old, and no new alert on late "
            "acceptance starts. The log has findings_failed with the reason.",
        ),
    )


def _dead_letters(timing: RuleTiming) -> Rule:
    ratio = "pipeline:dead_letter_rows_per_received_rows:ratio{window='1h'}"
    received = seen("portalpulse_received_rows", timing)
    share = f'{{{{ with query "floor(1e4 * {ratio} + 1e-6) / 100" }}}}{{{{ . | first | value | printf "%.2f"'
    window = duration(timing.reason_seconds)
    worst = f"topk(1, sum by (reason) (increase(portalpulse_dead_letters_total[{window}])) > 0)"
    agency = f"topk(1, max by (agency) ({seen('portalpulse_dead_letter_agency_rows{agency!=QQ}', timing)}) > 0)".replace(
        "QQ", "''"
    )
    named = f'{{{{ with query "{agency}" }}}}%s{{{{ . | first | label "agency" }}}}.{{{{ end }}}}'
    reason = f'{{{{ with query "{worst}" }}}}%s{{{{ . | first | label "reason" }}}}.{{{{ end }}}}'
    return _alert(
        "DeadLetterRatioHigh",
        f"""
        pipeline:dead_letter_rows_per_received_rows:ratio{{window="1h"}} > {number(timing.dead_letter_limit_ratio)}
        and on (window) max by (window) ({received}) >= {timing.dead_letter_min_rows}
        """,
        timing,
        for_seconds=timing.dead_letter_for_seconds,
        keep_firing_seconds=timing.dead_letter_keep_firing_seconds,
        annotations=texts(
            "Tỷ lệ sự kiện bị loại quá cao.",
            "Too many messages are dead-lettered.",
            share + r' | reReplaceAll "\\." "," }} % '
            f"sự kiện nhận trong 1 giờ qua bị loại (giới hạn {vietnamese_percent(timing.dead_letter_limit_ratio)}).{{{{ end }}}} "
            f"Sự kiện bị loại không được tính vào tỷ lệ của cơ quan.{reason % ' Lý do nhiều nhất: '}"
            f"{named % ' Cơ quan nhiều nhất: '}",
            f"{share} "
            f"}}}} % of the messages of the last hour are dead letters (limit: {number(timing.dead_letter_limit_ratio * 100)} %)."
            f"{{{{ end }}}} They count in the rate of no agency.{reason % ' The most frequent reason: '}"
            f"{named % ' The most frequent agency: '}",
        ),
    )


def _config_missing(timing: RuleTiming) -> Rule:
    threshold, volume, info, figures = (
        seen(metric, timing)
        for metric in ("agency_threshold_ratio", "agency_min_volume", "agency_info", "agency_kpi_denominator")
    )
    return _alert(
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
        timing,
        for_seconds=timing.config_for_seconds,
        annotations=texts(
            "Cơ quan thiếu cấu hình cảnh báo.",
            "An agency has figures but no threshold, minimum volume or registry entry.",
            "{{ with $labels.agency }}Cơ quan {{ . }}, chỉ tiêu {{ $labels.kpi }}, kỳ {{ $labels.window }}: "
            "có số liệu nhưng thiếu ngưỡng, số hồ sơ tối thiểu hoặc tên trong danh mục"
            "{{ else }}Chưa đặt ngưỡng cảnh báo cho bất kỳ cơ quan nào{{ end }}, "
            "vì vậy không có cảnh báo tỷ lệ nào được phát.",
            "{{ with $labels.agency }}Agency {{ . }}, indicator {{ $labels.kpi }}, window {{ $labels.window }}: "
            "it has figures, and its threshold, minimum volume or name in the registry is missing"
            "{{ else }}No agency has a threshold{{ end }}, so no alert on a rate can start.",
        ),
    )
