"""Board "Giám sát hệ thống giám sát": whether Prometheus and Alertmanager read data, evaluate rules and send messages."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana import board as b
from dashboards.grafana import panels as p
from dashboards.grafana import words as w
from dashboards.grafana.tables import VALUE, Column, Sorted, table_panel
from dashboards.grafana.targets import Series
from dashboards.grafana.variables import variables
from dashboards.queries import monitoring as m
from dashboards.queries import national as n

_ANY_IS_BAD = p.steps(w.GREEN, (1, w.RED))
_ON: tuple[w.Text, ...] = ((1, "Đang chạy", w.GREEN),)
_CONFIGURED: tuple[w.Text, ...] = ((0, "Bị từ chối", w.RED), (1, "Đã nhận", w.GREEN))


def _health() -> b.Row:
    cells: list[b.Stat] = [
        (4, "Tín hiệu kiểm tra", "Watchdog phải luôn chạy; không có thì Prometheus không tính quy tắc.", m.WATCHDOG,
         p.Look(unit=p.NAME, texts=_ON, missing=("KHÔNG CÓ TÍN HIỆU", w.RED))),
        (4, "Không trả lời", "Số tiến trình không trả lời lần đọc gần nhất.", m.TARGETS_DOWN,
         p.Look(unit=p.COUNT, thresholds=_ANY_IS_BAD)),
        (4, "Alertmanager tìm thấy", "Số Alertmanager mà Prometheus biết.", m.ALERTMANAGERS,
         p.Look(unit=p.COUNT, thresholds=p.steps(w.RED, (1, w.GREEN)))),
        (4, "Cấu hình", "Prometheus và Alertmanager có chạy với cấu hình được giao gần nhất không.", m.CONFIGURATION,
         p.Look(unit=p.NAME, texts=_CONFIGURED)),
        (4, "Quy tắc lỗi trong 1 giờ", "Số lần quy tắc bị lỗi.", m.RULE_FAILURES, p.Look(unit=p.COUNT, thresholds=_ANY_IS_BAD)),
        (4, "Lượt tính bị bỏ trong 1 giờ", "Số lượt tính quy tắc không diễn ra.", m.RULES_MISSED,
         p.Look(unit=p.COUNT, thresholds=p.steps(w.GREEN, (1, w.ORANGE)))),
    ]  # fmt: skip
    return b.Row(5, b.stats(cells))


def _messages() -> b.Row:
    failures = p.stat_panel(
        p.Header(
            7, "Tin không gửi được trong 1 giờ", "Alertmanager không gửi được cho người nhận; Prometheus không chuyển được."
        ),
        [Series(m.NOTIFICATION_FAILURES, "Tới người nhận"), Series(m.SEND_FAILURES, "Tới Alertmanager")],
        p.Look(unit=p.COUNT, thresholds=_ANY_IS_BAD),
    )
    sent = p.bar_panel(
        p.Header(8, "Tin đã gửi trong 1 giờ", "Theo kênh của Alertmanager."),
        Series(m.NOTIFICATIONS, "{{integration}}"),
        p.Look(unit=p.COUNT),
    )
    held = p.stat_panel(
        p.Header(9, "Cảnh báo trong Alertmanager", "Đang mở và bị tắt tiếng."),
        Series(m.HELD_ALERTS, "{{state}}"),
        p.Look(unit=p.COUNT, names={"active": "Đang mở", "suppressed": "Tắt tiếng", "unprocessed": "Chưa xử lý"}),
    )
    handed = p.lines_panel(
        p.Header(10, "Cảnh báo chuyển cho Alertmanager", "Số cảnh báo mỗi giây; cảnh báo đang mở được gửi lại nhiều lần."),
        Series(m.SENT, "Đã chuyển"),
        p.Look(unit=p.RATE, decimals=2),
    )
    return b.Row(7, [(6, failures), (5, sent), (5, held), (8, handed)])


def _seeing() -> list[b.Row]:
    targets = table_panel(
        p.Header(11, "Tiến trình được đọc", "Tiến trình nào trả lời lần đọc gần nhất."),
        [m.TARGETS],
        [Column("job", "Nhóm"), Column("instance", "Địa chỉ"), Column(VALUE, "Trả lời", texts=w.YES_NO)],
        sort_by=Sorted("Trả lời"),
    )
    scrape = p.lines_panel(
        p.Header(12, "Thời gian đọc", "Lần đọc gần nhất của mỗi nhóm lâu bao nhiêu."),
        Series(m.SCRAPE_SECONDS, "{{job}}"),
        p.Look(unit=p.SECONDS, decimals=3),
    )
    samples = p.lines_panel(
        p.Header(13, "Số chuỗi mỗi lần đọc", "Giảm đột ngột là thiếu số liệu."),
        [Series(m.SAMPLES, "{{job}}"), Series(m.STORED_SERIES, "Prometheus giữ")],
        p.Look(unit=p.COUNT),
    )
    rules = p.lines_panel(
        p.Header(14, "Thời gian tính quy tắc", "Lượt tính gần nhất của mỗi nhóm; quá một phút là tính không kịp."),
        Series(m.RULE_SECONDS, "{{rule_group}}"),
        p.Look(unit=p.SECONDS, decimals=3, thresholds=p.steps(w.GREEN, (60, w.RED))),
        drawn=True,
    )
    memory = p.lines_panel(
        p.Header(15, "Bộ nhớ", "Bộ nhớ của mỗi nhóm tiến trình."), Series(m.MEMORY, "{{job}}"), p.Look(unit=p.BYTES, decimals=1)
    )
    restarts = p.bar_panel(
        p.Header(16, "Khởi động lại trong 1 giờ", "Số lần khởi động lại của mỗi nhóm tiến trình."),
        Series(m.RESTARTS, "{{job}}"),
        p.Look(unit=p.COUNT, thresholds=p.steps(w.GREEN, (1, w.ORANGE))),
    )
    versions = table_panel(
        p.Header(17, "Phiên bản portalpulse", "Phiên bản đang chạy; nhiều dòng là đang cập nhật dở."),
        [m.VERSIONS],
        [Column("version", "Phiên bản")],
    )
    alerts = table_panel(
        p.Header(18, "Cảnh báo đang mở", "Mọi cảnh báo đang mở, của hệ thống và của cơ quan."),
        [n.FIRING_ALERTS],
        [
            Column("severity", "Mức độ", texts=w.SEVERITIES, width=110),
            Column("alertname", "Cảnh báo", texts=w.alert_texts(), link=b.to_runbook()),
            Column("agency", "Mã", link=b.to_agency("Mã"), width=60),
            Column("name", "Cơ quan"),
            Column(VALUE, "Từ lúc", p.TIME, width=150),
        ],
        sort_by=Sorted("Từ lúc", descending=True),
    )
    return [
        b.Row(9, [(8, targets), (8, scrape), (8, samples)]),
        b.Row(9, [(8, rules), (8, memory), (4, restarts), (4, versions)]),
        b.Row(10, [(24, alerts)]),
    ]


def monitoring() -> models.Dashboard:
    """The board on Prometheus and Alertmanager."""
    return b.make_board(
        b.MONITORING,
        "Giám sát hệ thống giám sát",
        "Prometheus và Alertmanager có đọc được, có tính quy tắc và có gửi tin không.",
        [_health(), _messages(), *_seeing()],
        variables=variables(figures=False),
    )
