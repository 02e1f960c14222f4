"""Board "Toàn quốc": whether the figures can be trusted, the rate of the nation, which agencies are low, which alerts are open.

From top to bottom: the banner, the nation, the ranking, open alerts, history. The rules in Prometheus decide about alerts; the
board only shows them.
"""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana import board as b
from dashboards.grafana import panels as p
from dashboards.grafana import words as w
from dashboards.grafana.tables import VALUE, Column, Sorted, table_panel
from dashboards.grafana.targets import Series
from dashboards.grafana.variables import variables
from dashboards.queries import clickhouse as sql
from dashboards.queries import national as n

_SIGNED = p.steps(w.RED, (0, w.PLAIN))
_ANY_IS_BAD = p.steps(w.GREEN, (1, w.RED))
_STATE_NAMES = {f"{value:g}": text for value, text, _ in w.STATES if isinstance(value, int)}
_STATE_COLORS = {f"{value:g}": color for value, _, color in w.STATES if isinstance(value, int)}
_BLOCK_NAMES = w.names(w.BLOCKS)


def _nation() -> b.Row:
    return b.Row(
        5,
        [
            (
                4,
                p.stat_panel(
                    p.Header(1, "Tỷ lệ cả nước", "Cộng tử số và mẫu số của mọi cơ quan rồi mới chia; cắt bớt, không làm tròn."),
                    Series(n.NATION_PERCENT),
                    p.Look(unit=p.PERCENT, decimals=2),
                ),
            ),
            (
                3,
                p.stat_panel(
                    p.Header(
                        2,
                        "So với tuần trước",
                        "Tỷ lệ cả nước của 7 ngày qua trừ tỷ lệ của 7 ngày trước đó, tính bằng điểm phần trăm.",
                    ),
                    Series(n.NATION_CHANGE),
                    p.Look(unit=p.POINTS, decimals=2, thresholds=_SIGNED),
                ),
            ),
            (
                5,
                p.stat_panel(
                    p.Header(3, "Tỷ lệ theo khối", "Cộng tử số và mẫu số của các cơ quan trong khối rồi mới chia."),
                    Series(n.BLOCK_PERCENT, "{{block}}"),
                    p.Look(unit=p.PERCENT, decimals=2, names=_BLOCK_NAMES),
                ),
            ),
            (
                4,
                p.stat_panel(
                    p.Header(4, "Số hồ sơ cả nước", "Hồ sơ đạt chỉ tiêu (tử số) và tổng số hồ sơ (mẫu số)."),
                    [Series(n.NATION_NUMERATOR, "Tử số"), Series(n.NATION_DENOMINATOR, "Mẫu số")],
                    p.Look(unit=p.COUNT),
                ),
            ),
            (
                4,
                p.stat_panel(
                    p.Header(
                        5,
                        "Cơ quan dưới ngưỡng, đang cảnh báo",
                        "Số cơ quan có cảnh báo tỷ lệ dưới 5 % hoặc bằng 0, ở bất kỳ kỳ và chỉ tiêu nào, không chỉ kỳ đang "
                        "xem; và số cơ quan có bất kỳ cảnh báo nào, trừ mức thông tin.",
                    ),
                    [Series(n.AGENCIES_FIRING, "Dưới ngưỡng"), Series(n.AGENCIES_ALERTED, "Mọi cảnh báo")],
                    p.Look(unit=p.COUNT, thresholds=_ANY_IS_BAD),
                ),
            ),
            (
                4,
                p.stat_panel(
                    p.Header(
                        6,
                        "Cơ quan chưa có dữ liệu",
                        "Số cơ quan không có hồ sơ nào trong kỳ. Không có dữ liệu không phải là 0 %.",
                    ),
                    Series(n.AGENCIES_WITHOUT_DATA),
                    p.Look(unit=p.COUNT, thresholds=p.steps(w.GREEN, (1, w.ORANGE))),
                ),
            ),
        ],
    )


def _ranking() -> b.Row:
    columns = [
        Column("agency", "Mã", link=b.to_agency("Mã"), width=60),
        Column("name", "Cơ quan", link=b.to_agency("Mã")),
        Column("block", "Khối", texts=w.BLOCKS, width=140),
        Column(n.AGENCY_STATE, "Mức", texts=w.STATES, width=140),
        Column(n.AGENCY_PERCENT, "Tỷ lệ", p.PERCENT, 2, width=90),
        Column(n.AGENCY_CHANGE, "± tuần", p.POINTS, 2, thresholds=_SIGNED, width=120),
        Column(n.AGENCY_NUMERATOR, "Tử số", p.COUNT, width=90),
        Column(n.AGENCY_DENOMINATOR, "Mẫu số", p.COUNT, width=90),
        Column(n.AGENCY_THRESHOLD, "Ngưỡng", p.PERCENT, 2, width=90),
        Column(n.AGENCY_MISSING, "Còn thiếu", p.COUNT, width=90),
        Column(n.AGENCY_ALERTS, "Cảnh báo", p.COUNT, thresholds=p.steps(w.PLAIN, (1, w.RED)), width=90),
        Column(n.AGENCY_LAST_EVENT, "Sự kiện cuối", p.TIME, width=150),
    ]
    ranking = table_panel(
        p.Header(
            7,
            "Xếp hạng cơ quan",
            "Tỷ lệ thấp nhất xếp trước. Còn thiếu: số hồ sơ trực tuyến mới để đạt mức kế tiếp; chúng cũng tăng mẫu số. Bấm "
            "vào mã hoặc tên để mở bảng của cơ quan.",
        ),
        [
            n.AGENCY_NAME,
            n.AGENCY_STATE,
            n.AGENCY_PERCENT,
            n.AGENCY_CHANGE,
            n.AGENCY_NUMERATOR,
            n.AGENCY_DENOMINATOR,
            n.AGENCY_THRESHOLD,
            n.AGENCY_MISSING,
            n.AGENCY_ALERTS,
            n.AGENCY_LAST_EVENT,
        ],
        columns,
        join_by="agency",
        sort_by=Sorted("Tỷ lệ"),
    )
    return b.Row(18, [(24, ranking)])


def _why() -> b.Row:
    alerts = table_panel(
        p.Header(
            10,
            "Cảnh báo đang mở",
            "Mọi cảnh báo đang mở, trừ tín hiệu kiểm tra định kỳ. Bấm vào cảnh báo để mở sổ tay xử lý, vào mã để mở bảng "
            "của cơ quan.",
        ),
        [n.FIRING_ALERTS],
        [
            Column("severity", "Mức độ", texts=w.SEVERITIES, width=110),
            Column("alertname", "Cảnh báo", texts=w.alert_texts(), link=b.to_runbook()),
            Column("agency", "Mã", link=b.to_agency("Mã"), width=60),
            Column("name", "Cơ quan", link=b.to_agency("Mã")),
            Column("kpi", "Chỉ tiêu", texts=w.KPIS),
            Column("window", "Kỳ", texts=w.WINDOWS, width=110),
            Column("rung", "Mốc", texts=w.RUNGS, width=130),
            Column(VALUE, "Từ lúc", p.TIME, width=150),
        ],
        sort_by=Sorted("Từ lúc", descending=True),
        empty="—",
    )
    states = p.bar_panel(
        p.Header(8, "Số cơ quan theo mức", "Bao nhiêu cơ quan ở mỗi mức trong kỳ đang xem."),
        Series(n.STATES, "{{state}}"),
        p.Look(unit=p.COUNT, names=_STATE_NAMES, colors=_STATE_COLORS),
    )
    margin = p.bar_panel(
        p.Header(
            9,
            "Chênh lệch so với ngưỡng",
            "Tỷ lệ trừ ngưỡng, tính bằng điểm phần trăm; hai mươi cơ quan thấp nhất. Số âm là dưới ngưỡng.",
        ),
        Series(n.AGENCY_MARGIN, "{{name}} ({{agency}})"),
        p.Look(unit=p.POINTS, decimals=2, thresholds=p.steps(w.RED, (0, w.GREEN))),
    )
    return b.Row(14, [(12, alerts), (5, states), (7, margin)])


def _time() -> list[b.Row]:
    now = p.lines_panel(
        p.Header(11, "Tỷ lệ cả nước và theo khối", "Tỷ lệ gộp của kỳ đang xem, như Prometheus đã ghi."),
        [Series(n.NATION_PERCENT, "Cả nước"), Series(n.BLOCK_PERCENT, "{{block}}")],
        p.Look(unit=p.PERCENT, decimals=2, names=_BLOCK_NAMES),
    )
    counts = p.lines_panel(
        p.Header(12, "Số hồ sơ theo khối", "Tổng số hồ sơ (mẫu số) và hồ sơ đạt chỉ tiêu (tử số) của từng khối."),
        [Series(n.BLOCK_DENOMINATOR, "Tổng số, {{block}}"), Series(n.BLOCK_NUMERATOR, "Đạt chỉ tiêu, {{block}}")],
        p.Look(
            unit=p.COUNT,
            names={
                f"{part}, {block}": f"{name}: {part.lower()}"
                for part in ("Tổng số", "Đạt chỉ tiêu")
                for block, name in _BLOCK_NAMES.items()
            },
        ),
    )
    days = p.lines_panel(
        p.Header(13, "Cả nước theo ngày", "Tỷ lệ 7 ngày và số hồ sơ mỗi ngày, từ kho dữ liệu; ngày theo giờ Việt Nam."),
        Series(sql.NATION_HISTORY),
        p.Look(
            unit=p.PERCENT, decimals=2, names={"rate": "Tỷ lệ 7 ngày", "dossiers": "Hồ sơ trong ngày", "online": "Đạt chỉ tiêu"}
        ),
        time_from="90d",
        columns=("dossiers", "online"),
    )
    months = p.lines_panel(
        p.Header(14, "Tỷ lệ theo tháng", "Tỷ lệ của từng tháng, từ kho dữ liệu. Tháng này tính đến hôm nay."),
        Series(sql.MONTHS),
        p.Look(unit=p.PERCENT, decimals=2, names={"nation": "Cả nước", **_BLOCK_NAMES, "dossiers": "Hồ sơ trong tháng"}),
        time_from="2y",
        columns=("dossiers",),
    )
    findings = p.bar_panel(
        p.Header(15, "Hồ sơ bất thường hôm nay", "Số hồ sơ có phát hiện trong ngày, theo loại. Phát hiện không đổi số liệu."),
        Series(n.FINDINGS, "{{kind}}"),
        p.Look(unit=p.COUNT, names=w.names(w.FINDINGS)),
    )
    return [b.Row(9, [(12, now), (12, counts)]), b.Row(10, [(9, days), (9, months), (6, findings)])]


def national() -> models.Dashboard:
    """The board of the nation."""
    return b.make_board(
        b.NATIONAL,
        "Toàn quốc",
        "Mức độ sử dụng dịch vụ công trực tuyến của các bộ, ngành và tỉnh, thành phố.",
        [_nation(), _ranking(), _why(), *_time()],
        variables=variables(),
    )
