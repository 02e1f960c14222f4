"""Board "Toàn quốc": rates of the nation, the blocks and the agencies, and whether the figures can be trusted.

From top to bottom: the nation, the agencies, the pipeline that produces the figures. The rules in Prometheus decide about
alerts; the board only shows them.
"""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as models

from dashboards import queries as q
from dashboards.grafana import panels as p
from dashboards.grafana.variables import variables

UID = "portalpulse-national"

_STATES = (
    (q.FIRING, "Đang cảnh báo", p.RED),
    (q.BELOW, "Dưới ngưỡng", p.ORANGE),
    (q.REACHED, "Đạt ngưỡng", p.GREEN),
    (q.NO_DATA, p.NO_DATA_TEXT, p.GREY),
    (q.NO_THRESHOLD, "Không đặt ngưỡng", p.BLUE),
)
_BLOCKS = (("ministry", "Bộ, ngành", "text"), ("province", "Tỉnh, thành phố", "text"))
_SEVERITIES = (
    ("critical", "Nghiêm trọng", p.RED),
    ("warning", "Cảnh báo", p.ORANGE),
    ("info", "Thông tin", p.BLUE),
)
_ALERTS = (
    ("AgencyRateLow", "Tỷ lệ dưới ngưỡng", "text"),
    ("AgencyConfigMissing", "Cơ quan thiếu cấu hình", "text"),
    ("PipelineStalled", "Không nhận được sự kiện mới", "text"),
    ("TallyDrift", "Bảng tổng hợp lệch so với dữ liệu gốc", "text"),
    ("DeadLetterRatioHigh", "Nhiều sự kiện bị loại", "text"),
    ("ExporterDown", "Chương trình xuất số liệu không trả lời", "text"),
    ("ClickHouseDown", "Kho dữ liệu không trả lời", "text"),
    ("KafkaDown", "Kafka không trả lời", "text"),
    ("WorkerDown", "Worker không trả lời", "text"),
    ("NoPartitionsAssigned", "Worker không có phân vùng", "text"),
    ("NoEventsYet", "Chưa có sự kiện nào", "text"),
    ("LagHigh", "Quá nhiều sự kiện chờ trong Kafka", "text"),
    ("BacklogHigh", "Quá nhiều sự kiện chưa được tính", "text"),
    ("MessagesLost", "Mất sự kiện chưa đọc", "text"),
    ("DiskFilling", "Đĩa sắp đầy", "text"),
)
_BLOCK_NAMES = {value: text for value, text, _ in _BLOCKS}
_PLAIN = p.steps("text")


def _nation() -> list[Any]:
    return [
        p.stat_panel(
            p.PanelHeader(1, "Tỷ lệ cả nước", "Cộng tử số và mẫu số của mọi cơ quan rồi mới chia.", p.GridPosition(0, 0, 4, 5)),
            p.Series(q.NATION_PERCENT),
            unit=p.PERCENT,
            decimals=2,
            thresholds=_PLAIN,
        ),
        p.stat_panel(
            p.PanelHeader(
                2,
                "Tỷ lệ theo khối",
                "Cộng tử số và mẫu số của các cơ quan trong khối rồi mới chia.",
                p.GridPosition(4, 0, 6, 5),
            ),
            p.Series(q.BLOCK_PERCENT, "{{block}}"),
            unit=p.PERCENT,
            decimals=2,
            thresholds=_PLAIN,
            names=_BLOCK_NAMES,
        ),
        p.stat_panel(
            p.PanelHeader(
                3, "Số hồ sơ cả nước", "Hồ sơ đạt chỉ tiêu (tử số) và tổng số hồ sơ (mẫu số).", p.GridPosition(10, 0, 6, 5)
            ),
            [p.Series(q.NATION_NUMERATOR, "Tử số"), p.Series(q.NATION_DENOMINATOR, "Mẫu số")],
            unit=p.COUNT,
            thresholds=_PLAIN,
        ),
        p.stat_panel(
            p.PanelHeader(4, "Cơ quan đang cảnh báo", "Số cơ quan có cảnh báo tỷ lệ dưới ngưỡng.", p.GridPosition(16, 0, 4, 5)),
            p.Series(q.AGENCIES_FIRING),
            unit=p.COUNT,
            thresholds=p.steps(p.GREEN, (1, p.RED)),
        ),
        p.stat_panel(
            p.PanelHeader(
                5,
                "Cơ quan chưa có dữ liệu",
                "Số cơ quan không có hồ sơ nào trong kỳ. Không có dữ liệu không phải là 0 %.",
                p.GridPosition(20, 0, 4, 5),
            ),
            p.Series(q.AGENCIES_WITHOUT_DATA),
            unit=p.COUNT,
            thresholds=p.steps(p.GREEN, (1, p.ORANGE)),
        ),
    ]


def _agencies() -> list[Any]:
    table_queries = [
        q.AGENCY_NAME,
        q.AGENCY_PERCENT,
        q.AGENCY_NUMERATOR,
        q.AGENCY_DENOMINATOR,
        q.AGENCY_THRESHOLD,
        q.AGENCY_DEFICIT,
        q.AGENCY_STATE,
    ]
    return [
        p.table_panel(
            p.PanelHeader(
                6,
                "Xếp hạng cơ quan",
                "Tỷ lệ thấp nhất xếp trước. Còn thiếu: số hồ sơ trực tuyến cần thêm để đạt ngưỡng với cùng tổng số hồ sơ.",
                p.GridPosition(0, 5, 16, 16),
            ),
            table_queries,
            [
                p.Column("agency", "Mã"),
                p.Column("name", "Cơ quan"),
                p.Column("block", "Khối", mappings=_BLOCKS),
                p.Column(q.AGENCY_PERCENT, "Tỷ lệ", p.PERCENT, 2),
                p.Column(q.AGENCY_NUMERATOR, "Tử số", p.COUNT),
                p.Column(q.AGENCY_DENOMINATOR, "Mẫu số", p.COUNT),
                p.Column(q.AGENCY_THRESHOLD, "Ngưỡng", p.PERCENT, 2),
                p.Column(q.AGENCY_DEFICIT, "Còn thiếu", p.COUNT),
                p.Column(q.AGENCY_STATE, "Trạng thái", mappings=_STATES),
            ],
            join_by="agency",
            sort_by="Tỷ lệ",
        ),
        p.bar_panel(
            p.PanelHeader(
                7,
                "Chênh lệch so với ngưỡng",
                "Tỷ lệ trừ ngưỡng, tính bằng điểm phần trăm; hai mươi cơ quan thấp nhất. Số âm là dưới ngưỡng.",
                p.GridPosition(16, 5, 8, 16),
            ),
            p.Series(q.AGENCY_MARGIN, "{{agency}}"),
            unit=p.POINTS,
            decimals=2,
            thresholds=p.steps(p.RED, (0, p.GREEN)),
        ),
        p.time_series_panel(
            p.PanelHeader(
                8,
                "Tỷ lệ và ngưỡng theo thời gian",
                "Chọn cơ quan ở đầu trang để so sánh tỷ lệ với ngưỡng của chính cơ quan đó.",
                p.GridPosition(0, 21, 12, 10),
            ),
            [p.Series(q.AGENCY_PERCENT, "{{agency}}"), p.Series(q.AGENCY_THRESHOLD, "Ngưỡng {{agency}}")],
            unit=p.PERCENT,
            decimals=2,
            thresholds=_PLAIN,
        ),
        p.time_series_panel(
            p.PanelHeader(9, "Tỷ lệ cả nước và theo khối", "Tỷ lệ gộp theo thời gian.", p.GridPosition(12, 21, 12, 10)),
            [p.Series(q.NATION_PERCENT, "Cả nước"), p.Series(q.BLOCK_PERCENT, "{{block}}")],
            unit=p.PERCENT,
            decimals=2,
            thresholds=_PLAIN,
            names=_BLOCK_NAMES,
        ),
        p.time_series_panel(
            p.PanelHeader(
                10,
                "Số hồ sơ theo khối",
                "Tổng số hồ sơ (mẫu số) và hồ sơ đạt chỉ tiêu (tử số) của từng khối.",
                p.GridPosition(0, 31, 12, 9),
            ),
            [
                p.Series(q.BLOCK_DENOMINATOR, "Tổng số, {{block}}"),
                p.Series(q.BLOCK_NUMERATOR, "Đạt chỉ tiêu, {{block}}"),
            ],
            unit=p.COUNT,
            thresholds=_PLAIN,
            names={
                f"{part}, {block}": f"{name}: {part.lower()}"
                for part in ("Tổng số", "Đạt chỉ tiêu")
                for block, name in _BLOCK_NAMES.items()
            },
        ),
        p.table_panel(
            p.PanelHeader(
                11,
                "Cảnh báo đang diễn ra",
                "Mọi cảnh báo đang diễn ra, trừ tín hiệu kiểm tra định kỳ (Watchdog). Bảng trống nghĩa là không có cảnh báo.",
                p.GridPosition(12, 31, 12, 9),
            ),
            [q.FIRING_ALERTS],
            [
                p.Column("severity", "Mức độ", mappings=_SEVERITIES),
                p.Column("alertname", "Cảnh báo", mappings=_ALERTS),
                p.Column("agency", "Cơ quan"),
                p.Column("kpi", "Chỉ tiêu"),
                p.Column("window", "Kỳ"),
            ],
            sort_by="Mức độ",
            empty="Không có",
        ),
    ]


def _pipeline() -> list[Any]:
    return [
        p.stat_panel(
            p.PanelHeader(
                12,
                "Độ mới của dữ liệu",
                "Thời gian từ sự kiện mới nhất đến thời điểm hiện tại của hệ thống.",
                p.GridPosition(0, 40, 5, 5),
            ),
            p.Series(q.FRESHNESS),
            unit=p.SECONDS,
            thresholds=p.steps(p.GREEN, (300, p.ORANGE), (600, p.RED)),
        ),
        p.stat_panel(
            p.PanelHeader(13, "Chưa tổng hợp", "Sự kiện đã lưu nhưng chưa có trong bảng tổng hợp.", p.GridPosition(5, 40, 5, 5)),
            p.Series(q.TALLY_LAG),
            unit=p.COUNT,
            thresholds=p.steps(p.GREEN, (1_000, p.ORANGE), (15_000, p.RED)),
        ),
        p.stat_panel(
            p.PanelHeader(
                14,
                "Lệch khi đối soát",
                "Số sự kiện thiếu hoặc bị tính hai lần theo lần đối soát gần nhất, trừ phần đang xử lý; phải bằng 0.",
                p.GridPosition(10, 40, 5, 5),
            ),
            p.Series(q.AUDIT_DRIFT),
            unit=p.COUNT,
            thresholds=p.steps(p.GREEN, (1, p.RED)),
        ),
        p.stat_panel(
            p.PanelHeader(
                15, "Tỷ lệ bị loại", "Tỷ lệ sự kiện bị loại trong số sự kiện nhận được 1 giờ qua.", p.GridPosition(15, 40, 4, 5)
            ),
            p.Series(q.DEAD_LETTER_PERCENT),
            unit=p.PERCENT,
            decimals=2,
            thresholds=p.steps(p.GREEN, (0.5, p.ORANGE), (1, p.RED)),
        ),
        p.bar_panel(
            p.PanelHeader(
                16, "Sự kiện bị loại theo lý do", "Tổng số sự kiện bị loại, theo lý do.", p.GridPosition(19, 40, 5, 14)
            ),
            p.Series(q.DEAD_LETTERS, "{{reason}}"),
            unit=p.COUNT,
            thresholds=p.steps(p.ORANGE),
        ),
        p.time_series_panel(
            p.PanelHeader(
                17,
                "Tồn đọng theo thời gian",
                "Sự kiện đang chờ từ Kafka đến bảng tổng hợp; sự kiện nằm giữa hai bước có thể bị tính hai lần.",
                p.GridPosition(0, 45, 10, 9),
            ),
            [p.Series(q.BACKLOG, "Tồn đọng"), p.Series(q.TALLY_LAG, "Chưa tổng hợp")],
            unit=p.COUNT,
            thresholds=_PLAIN,
        ),
        p.time_series_panel(
            p.PanelHeader(
                18,
                "Độ mới theo thời gian",
                "Trên 10 phút, hệ thống không phát cảnh báo mới theo cơ quan.",
                p.GridPosition(10, 45, 9, 9),
            ),
            [p.Series(q.FRESHNESS, "Độ mới")],
            unit=p.SECONDS,
            thresholds=p.steps(p.GREEN, (600, p.RED)),
        ),
    ]


def national() -> models.Dashboard:
    """The finished board."""
    board = (
        dashboard.Dashboard("Toàn quốc")
        .uid(UID)
        .description("Mức độ sử dụng dịch vụ công trực tuyến của các bộ, ngành và tỉnh, thành phố.")
        .tags(["portalpulse"])
        .timezone("Asia/Ho_Chi_Minh")
        .week_start("monday")
        .time("now-24h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables(variables())
    )
    for panel in [*_nation(), *_agencies(), *_pipeline()]:
        board = board.with_panel(panel)
    return board.build()
