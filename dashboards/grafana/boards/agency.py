"""Board "Cơ quan": the rate of one agency against its limits, in every window, over time; its procedures, alerts and findings."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana import board as b
from dashboards.grafana import panels as p
from dashboards.grafana import words as w
from dashboards.grafana.tables import VALUE, Column, Sorted, table_panel
from dashboards.grafana.targets import Series
from dashboards.grafana.variables import variables
from dashboards.queries import agency as a
from dashboards.queries import clickhouse as sql

_SIGNED = p.steps(w.RED, (0, w.PLAIN))
#: Share of late acceptances from which the alert may start, in percent.
_LATE = 10
_CLEAR = "Hết cảnh báo"


def _now() -> b.Row:
    name = table_panel(
        p.Header(1, "Cơ quan", "Tên và khối của cơ quan được chọn ở đầu trang."),
        [a.ONE_NAME],
        [Column("agency", "Mã", width=60), Column("name", "Cơ quan"), Column("block", "Khối", texts=w.BLOCKS)],
    )
    rate = p.stat_panel(
        p.Header(2, "Tỷ lệ", "Tỷ lệ của kỳ đang xem; cắt bớt, không làm tròn."),
        Series(a.ONE_PERCENT),
        p.Look(unit=p.PERCENT, decimals=2),
    )
    state = p.stat_panel(
        p.Header(3, "Mức", "Tỷ lệ đứng ở đâu trên các mức của kỳ đang xem. Không có dữ liệu không phải là 0 %."),
        Series(a.ONE_STATE),
        p.Look(unit=p.NAME, texts=w.STATES),
        background=True,
    )
    counts = p.stat_panel(
        p.Header(4, "Số hồ sơ", "Hồ sơ đạt chỉ tiêu (tử số) và tổng số hồ sơ (mẫu số)."),
        [Series(a.ONE_NUMERATOR, "Tử số"), Series(a.ONE_DENOMINATOR, "Mẫu số")],
        p.Look(unit=p.COUNT),
    )
    missing = p.stat_panel(
        p.Header(5, "Còn thiếu", "Số hồ sơ trực tuyến mới để đạt mức kế tiếp; chúng cũng tăng mẫu số. Gạch ngang: không thiếu."),
        Series(a.ONE_MISSING),
        p.Look(unit=p.COUNT, missing=("—", w.GREY)),
    )
    last = p.stat_panel(
        p.Header(6, "Sự kiện cuối", "Thời điểm của sự kiện mới nhất của cơ quan, giờ Việt Nam."),
        Series(a.ONE_LAST_EVENT),
        p.Look(unit=p.TIME),
    )
    return b.Row(5, [(6, name), (3, rate), (4, state), (4, counts), (3, missing), (4, last)])


def _rate() -> b.Row:
    chart = p.lines_panel(
        p.Header(
            7,
            "Tỷ lệ, các mức và vùng đệm",
            "Tỷ lệ của kỳ đang xem. Cảnh báo bắt đầu dưới ngưỡng và chỉ kết thúc trên đường “Hết cảnh báo”.",
        ),
        [Series(a.ONE_PERCENT, "Tỷ lệ"), Series(a.ONE_LIMITS, "{{rung}}"), Series(a.ONE_CLEAR, _CLEAR)],
        p.Look(
            unit=p.PERCENT,
            decimals=2,
            names=w.names(w.RUNGS),
            colors={"Tỷ lệ": w.BLUE, _CLEAR: w.GREEN, "below5": w.RED, "below10": w.ORANGE, "target": w.YELLOW},
        ),
        dashed=("below5", "below10", "target", _CLEAR),
    )
    windows = table_panel(
        p.Header(8, "Mọi kỳ", "Tỷ lệ của mỗi kỳ. Dưới số hồ sơ tối thiểu thì kỳ không được xét, trừ khi cảnh báo đang mở."),
        [
            a.WINDOW_STATE,
            a.WINDOW_PERCENT,
            a.WINDOW_CHANGE,
            a.WINDOW_NUMERATOR,
            a.WINDOW_DENOMINATOR,
            a.WINDOW_THRESHOLD,
            a.WINDOW_MISSING,
            a.WINDOW_MIN_VOLUME,
        ],
        [
            Column("window", "Kỳ", texts=w.WINDOWS),
            Column(a.WINDOW_STATE, "Mức", texts=w.STATES),
            Column(a.WINDOW_PERCENT, "Tỷ lệ", p.PERCENT, 2),
            Column(a.WINDOW_CHANGE, "± tuần", p.POINTS, 2, thresholds=_SIGNED),
            Column(a.WINDOW_NUMERATOR, "Tử số", p.COUNT),
            Column(a.WINDOW_DENOMINATOR, "Mẫu số", p.COUNT),
            Column(a.WINDOW_THRESHOLD, "Ngưỡng", p.PERCENT, 2),
            Column(a.WINDOW_MISSING, "Còn thiếu", p.COUNT),
            Column(a.WINDOW_MIN_VOLUME, "Tối thiểu", p.COUNT),
        ],
        join_by="window",
        sort_by=Sorted("Mẫu số"),
    )
    return b.Row(11, [(12, chart), (12, windows)])


def _history() -> list[b.Row]:
    days = p.lines_panel(
        p.Header(9, "Theo ngày", "Tỷ lệ 7 ngày và số hồ sơ mỗi ngày, từ kho dữ liệu; ngày theo giờ Việt Nam."),
        Series(sql.AGENCY_HISTORY),
        p.Look(
            unit=p.PERCENT,
            decimals=2,
            thresholds=p.steps(w.RED, (5, w.ORANGE), (10, w.PLAIN)),
            names={"rate": "Tỷ lệ 7 ngày", "dossiers": "Hồ sơ trong ngày", "online": "Đạt chỉ tiêu"},
        ),
        time_from="90d",
        columns=("dossiers", "online"),
        drawn=True,
    )
    procedures = table_panel(
        p.Header(
            10, "Thủ tục kéo tỷ lệ xuống", "Thủ tục thiếu nhiều hồ sơ trực tuyến nhất trong 30 ngày; tên theo danh mục đã nạp."
        ),
        [sql.PROCEDURES],
        [
            Column("procedure_code", "Mã thủ tục", width=110),
            Column("name", "Thủ tục"),
            Column("dossiers", "Hồ sơ", p.COUNT, width=90),
            Column("online", "Đạt chỉ tiêu", p.COUNT, width=100),
            Column("rate", "Tỷ lệ", p.PERCENT, 2, width=90),
        ],
        time_from="30d",
    )
    channels = table_panel(
        p.Header(
            11, "Kênh nộp và kết cục, 30 ngày", "Hồ sơ nộp trực tuyến, nộp cách khác, và hồ sơ kết thúc mà không có kết quả."
        ),
        [sql.CHANNELS],
        [
            Column("online", "Trực tuyến", p.COUNT),
            Column("elsewhere", "Tại quầy, bưu chính", p.COUNT),
            Column("refused", "Từ chối", p.COUNT),
            Column("withdrawn", "Rút", p.COUNT),
            Column("stopped", "Dừng", p.COUNT),
        ],
        time_from="30d",
    )
    return [b.Row(11, [(12, days), (12, procedures)]), b.Row(4, [(24, channels)])]


def _alerts() -> list[b.Row]:
    now = table_panel(
        p.Header(12, "Cảnh báo đang mở", "Cảnh báo của cơ quan này. Bấm vào cảnh báo để mở sổ tay xử lý."),
        [a.ONE_FIRING],
        [
            Column("severity", "Mức độ", texts=w.SEVERITIES, width=110),
            Column("alertname", "Cảnh báo", texts=w.alert_texts(), link=b.to_runbook()),
            Column("kpi", "Chỉ tiêu", texts=w.KPIS),
            Column("window", "Kỳ", texts=w.WINDOWS, width=110),
            Column("rung", "Mốc", texts=w.RUNGS, width=130),
            Column(VALUE, "Từ lúc", p.TIME, width=150),
        ],
        sort_by=Sorted("Từ lúc", descending=True),
    )
    past = p.timeline_panel(
        p.Header(13, "Lịch sử cảnh báo", "Mỗi dòng là một cảnh báo; màu đỏ là lúc cảnh báo mở. Trống: không có cảnh báo nào."),
        Series(a.ONE_ALERTS, "{{alertname}} {{kpi}} {{window}} {{rung}}"),
        p.Look(unit=p.NAME, texts=((1, "Đang mở", w.RED),), missing=("—", w.GREY)),
    )
    quiet = p.stat_panel(
        p.Header(14, "Im lặng", "Số giờ làm việc từ sự kiện mới nhất, và số giờ mà quá đó cảnh báo im lặng bắt đầu."),
        [Series(a.ONE_QUIET, "Im lặng"), Series(a.ONE_QUIET_LIMIT, "Giới hạn")],
        p.Look(unit=p.HOURS, decimals=1),
    )
    year_end = p.stat_panel(
        p.Header(15, "Cả năm, nếu tiếp tục như 30 ngày qua", "Tỷ lệ cả năm nếu phần còn lại của năm như 30 ngày qua."),
        Series(a.ONE_YEAR_END),
        p.Look(unit=p.PERCENT, decimals=2),
    )
    late = p.stat_panel(
        p.Header(
            16, "Tiếp nhận trễ", "Tỷ lệ hồ sơ đăng ký trực tuyến bị tiếp nhận trễ, trong những hồ sơ đã hết hạn của 7 ngày qua."
        ),
        Series(a.ONE_ACCEPTED_LATE),
        p.Look(unit=p.PERCENT, decimals=2, thresholds=p.steps(w.PLAIN, (_LATE, w.ORANGE))),
    )
    findings = p.bar_panel(
        p.Header(17, "Hồ sơ bất thường hôm nay", "Số hồ sơ có phát hiện trong ngày, theo loại."),
        Series(a.ONE_FINDINGS, "{{kind}}"),
        p.Look(unit=p.COUNT, names=w.names(w.FINDINGS)),
    )
    return [b.Row(9, [(12, now), (12, past)]), b.Row(8, [(5, quiet), (5, year_end), (4, late), (10, findings)])]


def agency() -> models.Dashboard:
    """The board of one agency."""
    return b.make_board(
        b.AGENCY,
        "Cơ quan",
        "Một cơ quan: tỷ lệ so với các mức, mọi kỳ, lịch sử, thủ tục, cảnh báo.",
        [_now(), _rate(), *_history(), *_alerts()],
        variables=variables(agency=True),
        agency=True,
    )
