"""Board "Đường ống": rate, errors, duration and backlog of each stage, dead letters, Kafka, ClickHouse, audit."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from dashboards.grafana import board as b
from dashboards.grafana import panels as p
from dashboards.grafana import words as w
from dashboards.grafana.tables import Column, table_panel
from dashboards.grafana.targets import Series
from dashboards.grafana.variables import variables
from dashboards.queries import clickhouse as sql
from dashboards.queries import pipeline as q

_ANY_IS_BAD = p.steps(w.GREEN, (1, w.RED))
_BACKLOG = p.steps(w.GREEN, (15_000, w.ORANGE), (30_000, w.RED))


def _health() -> b.Row:
    cells: list[b.Stat] = [
        (4, "Độ trễ của số liệu", "Tuổi của sự kiện mới nhất. Trên 10 phút, không có cảnh báo mới theo cơ quan.", q.FRESHNESS,
         p.Look(unit=p.MINUTES, decimals=1, thresholds=p.steps(w.GREEN, (5, w.ORANGE), (10, w.RED)))),
        (4, "Tồn đọng", "Sự kiện từ Kafka đến bảng tổng hợp; phần giữa hai bước có thể bị tính hai lần. Trên 30.000: cảnh báo.",
         q.BACKLOG, p.Look(unit=p.COUNT, thresholds=_BACKLOG)),
        (4, "Sự kiện trong 1 giờ", "Thông điệp nhận được trong 1 giờ qua, hợp lệ hay không.", q.RECEIVED, p.Look(unit=p.COUNT)),
        (3, "Bị loại trong 1 giờ", "Tỷ lệ thông điệp bị loại trong số nhận được 1 giờ qua.", q.DEAD_LETTER_PERCENT,
         p.Look(unit=p.PERCENT, decimals=2, thresholds=p.steps(w.GREEN, (0.5, w.ORANGE), (1, w.RED)))),
        (3, "Kafka", "Kafka có trả lời lượt đối soát gần nhất không.", q.KAFKA_UP, p.Look(unit=p.NAME, texts=w.YES_NO)),
        (3, "Kho dữ liệu", "ClickHouse có trả lời exporter không.", q.STORAGE_UP, p.Look(unit=p.NAME, texts=w.YES_NO)),
        (3, "Đĩa còn trống", "Phần còn trống của đĩa đầy nhất.", q.STORAGE_FREE,
         p.Look(unit=p.PERCENT, thresholds=p.steps(w.RED, (10, w.ORANGE), (20, w.GREEN)))),
    ]  # fmt: skip
    return b.Row(5, b.stats(cells))


def _rates() -> b.Row:
    events = p.lines_panel(
        p.Header(10, "Sự kiện mỗi giây", "Thông điệp lấy từ Kafka theo kết quả, đã xác nhận, và dòng của bảng hồ sơ."),
        [
            Series(q.EVENT_RATE, "{{outcome}}"),
            Series(q.ACKNOWLEDGED_RATE, "Đã xác nhận"),
            Series(q.DOSSIER_ROW_RATE, "Dòng hồ sơ"),
        ],
        p.Look(unit=p.RATE, decimals=1, names=w.names(w.OUTCOMES)),
    )
    errors = p.lines_panel(
        p.Header(
            11, "Lỗi khi gọi kho dữ liệu, mỗi giây", "Lần gọi không thành công theo kết quả, và thông điệp phải xét từng cái."
        ),
        [Series(q.STORE_ERRORS, "{{outcome}}"), Series(q.SLOW_PATH, "Xét từng thông điệp")],
        p.Look(unit=p.RATE, decimals=2, names=w.names(w.OUTCOMES)),
    )
    stored = p.lines_panel(
        p.Header(12, "Sự kiện theo giờ, từ kho dữ liệu", "Số sự kiện xảy ra trong mỗi giờ, kể cả khi gửi đến muộn."),
        Series(sql.EVENTS_BY_HOUR),
        p.Look(unit=p.COUNT, names={"events": "Sự kiện"}),
        columns=("events",),
    )
    return b.Row(9, [(8, events), (8, errors), (8, stored)])


def _durations() -> b.Row:
    store = p.lines_panel(
        p.Header(13, "Thời gian gọi kho dữ liệu (95 %)", "95 % số lần gọi không lâu hơn, theo việc."),
        Series(q.STORE_SECONDS, "{{operation}}"),
        p.Look(unit=p.SECONDS, decimals=3, names=w.names(w.OPERATIONS)),
    )
    calls = p.lines_panel(
        p.Header(14, "Số lần gọi kho dữ liệu, mỗi giây", "Theo việc."),
        Series(q.STORE_CALLS, "{{operation}}"),
        p.Look(unit=p.RATE, decimals=2, names=w.names(w.OPERATIONS)),
    )
    decode = p.lines_panel(
        p.Header(15, "Thời gian giải mã một lô (95 %)", "95 % số lô không lâu hơn."),
        Series(q.DECODE_SECONDS, "Giải mã"),
        p.Look(unit=p.SECONDS, decimals=3),
    )
    return b.Row(10, [(9, store), (9, calls), (6, decode)])


def _backlog() -> b.Row:
    tiers = p.lines_panel(
        p.Header(16, "Tồn đọng theo tầng", "Sự kiện chờ ở mỗi tầng. Trên 30.000, không có cảnh báo mới theo cơ quan."),
        [
            Series(q.BACKLOG, "Tất cả"),
            Series(q.LAG, "Trong Kafka"),
            Series(q.UNSTORED, "Chưa lưu"),
            Series(q.UNRESOLVED, "Chưa xét hồ sơ"),
            Series(q.UNTALLIED, "Chưa đếm"),
            Series(q.TALLY_LAG, "Đã lưu, chưa tổng hợp"),
            Series(q.IN_FLIGHT, "Chưa xác nhận"),
            Series(q.WAITING_DOSSIERS, "Hồ sơ chờ ghi"),
        ],
        p.Look(unit=p.COUNT, thresholds=p.steps(w.GREEN, (30_000, w.RED))),
        drawn=True,
    )
    ages = p.lines_panel(
        p.Header(17, "Chờ lâu nhất", "Phần cũ nhất của mỗi tầng đã chờ bao lâu."),
        [
            Series(q.UNRESOLVED_AGE, "Xét hồ sơ"),
            Series(q.WAITING_DOSSIERS_AGE, "Ghi bảng hồ sơ"),
            Series(q.LAST_PROGRESS, "{{instance}}"),
        ],
        p.Look(unit=p.SECONDS),
    )
    fresh = p.lines_panel(
        p.Header(18, "Độ trễ của số liệu theo thời gian", "Trên 10 phút, không có cảnh báo mới theo cơ quan."),
        Series(q.FRESHNESS, "Độ trễ"),
        p.Look(unit=p.MINUTES, decimals=1, thresholds=p.steps(w.GREEN, (10, w.RED))),
        drawn=True,
    )
    return b.Row(10, [(9, tiers), (8, ages), (7, fresh)])


def _partitions() -> b.Row:
    lag = p.lines_panel(
        p.Header(
            34,
            "Tồn đọng theo phân vùng",
            "Thông điệp chưa xác nhận của 20 phân vùng nhiều nhất, hỏi từ Kafka: kể cả phân vùng không có worker nào đọc.",
        ),
        Series(q.PARTITION_LAG, "{{topic}}/{{partition}}"),
        p.Look(unit=p.COUNT),
    )
    unread = p.stat_panel(
        p.Header(35, "Phân vùng không ai đọc", "Phân vùng không có worker nào đọc; phải bằng 0, trừ lúc đang chia lại."),
        Series(q.UNREAD_PARTITIONS),
        p.Look(unit=p.COUNT, thresholds=_ANY_IS_BAD),
    )
    return b.Row(8, [(19, lag), (5, unread)])


def _dead_letters() -> list[b.Row]:
    reasons = p.bar_panel(
        p.Header(19, "Bị loại theo lý do", "Tổng số sự kiện bị loại từ đầu, theo lý do."),
        Series(q.DEAD_LETTERS, "{{reason}}"),
        p.Look(unit=p.COUNT, thresholds=p.steps(w.ORANGE), names=w.names(w.REASONS)),
    )
    agencies = p.bar_panel(
        p.Header(20, "Bị loại trong 1 giờ, theo cơ quan", "Cơ quan mà thông điệp bị loại nêu tên; nhiều nhất mười cơ quan."),
        Series(q.DEAD_LETTER_AGENCIES, "{{name}} ({{agency}})"),
        p.Look(unit=p.COUNT, thresholds=p.steps(w.ORANGE)),
    )
    ratio = p.lines_panel(
        p.Header(21, "Tỷ lệ bị loại", "Tỷ lệ bị loại của 1 giờ theo thời gian. Trên 1 %: cảnh báo."),
        Series(q.DEAD_LETTER_RATIO, "Bị loại"),
        p.Look(unit=p.PERCENT, decimals=2, thresholds=p.steps(w.GREEN, (1, w.RED))),
        drawn=True,
    )
    by_reason = table_panel(
        p.Header(22, "Bị loại trong khoảng thời gian, theo lý do", "Từ kho dữ liệu: số lượng, lần đầu và lần cuối."),
        [sql.DEAD_LETTER_REASONS],
        [
            Column("reason", "Lý do", texts=w.REASONS),
            Column("letters", "Số lượng", p.COUNT, width=90),
            Column("first", "Lần đầu", p.TIME, width=150),
            Column("last", "Lần cuối", p.TIME, width=150),
        ],
    )
    newest = table_panel(
        p.Header(23, "Bị loại gần đây nhất", "Vị trí trong Kafka và lỗi; nội dung chỉ xem được bằng portalpulse dead-letters."),
        [sql.DEAD_LETTERS_NEWEST],
        [
            Column("seen", "Lúc", p.TIME, width=150),
            Column("reason", "Lý do", texts=w.REASONS, width=200),
            Column("topic", "Topic", width=170),
            Column("partition", "Phân vùng", p.NAME, width=90),
            Column("offset", "Offset", p.NAME, width=110),
            Column("error", "Lỗi"),
        ],
    )
    return [b.Row(10, [(8, reasons), (8, agencies), (8, ratio)]), b.Row(10, [(10, by_reason), (14, newest)])]


def _parts() -> list[b.Row]:
    cells = [
        (4, "Phân vùng được giao", "Số phân vùng mà các worker đang đọc.", q.ASSIGNED,
         p.Look(unit=p.COUNT, thresholds=p.steps(w.RED, (1, w.GREEN)))),
        (4, "Mất khi chưa đọc", "Offset mà Kafka đã xóa trước khi được đọc; phải bằng 0.", q.UNREAD,
         p.Look(unit=p.COUNT, thresholds=_ANY_IS_BAD)),
        (4, "Lô không giải mã gộp được", "Số lô phải xét từng thông điệp vì lỗi chương trình; phải bằng 0.", q.BULK_FAILURES,
         p.Look(unit=p.COUNT, thresholds=_ANY_IS_BAD)),
        (4, "Đối soát gần nhất", "Số phút từ lượt đối soát gần nhất.", q.AUDIT_AGE,
         p.Look(unit=p.MINUTES, thresholds=p.steps(w.GREEN, (30, w.ORANGE), (60, w.RED)))),
        (4, "Đối soát thất bại", "Số lượt đối soát thất bại từ khi khởi động.", q.AUDIT_FAILURES,
         p.Look(unit=p.COUNT, thresholds=p.steps(w.GREEN, (1, w.ORANGE)))),
        (4, "Tìm bất thường gần nhất", "Số phút từ lần tìm hồ sơ bất thường gần nhất.", q.FINDINGS_AGE, p.Look(unit=p.MINUTES)),
    ]  # fmt: skip
    first = b.stats(cells, first=24)
    drift = p.bar_panel(
        p.Header(30, "Lệch khi đối soát", "Sự kiện thiếu hoặc bị tính hai lần đã được xác nhận, theo tầng; phải bằng 0."),
        Series(q.AUDIT_DRIFT, "{{scope}}"),
        p.Look(unit=p.COUNT, thresholds=_ANY_IS_BAD, names=w.names(w.SCOPES)),
    )
    failed = p.stat_panel(
        p.Header(31, "Tìm bất thường thất bại", "Số lần tìm hồ sơ bất thường thất bại từ khi khởi động."),
        Series(q.FINDINGS_FAILURES),
        p.Look(unit=p.COUNT, thresholds=p.steps(w.GREEN, (1, w.ORANGE))),
    )
    sizes = table_panel(
        p.Header(32, "Bảng của ClickHouse", "Số dòng, dung lượng và số phần của mỗi bảng."),
        [sql.TABLE_SIZES],
        [
            Column("table", "Bảng"),
            Column("rows", "Dòng", p.COUNT),
            Column("bytes", "Dung lượng", p.BYTES, 1),
            Column("parts", "Phần", p.COUNT),
        ],
    )
    catalogue = table_panel(
        p.Header(33, "Danh mục thủ tục đã nạp", "Lần nạp gần nhất của mỗi cơ quan: lúc nào, từ đâu, bao nhiêu mục."),
        [sql.CATALOGUE],
        [
            Column("agency", "Mã", width=60),
            Column("name", "Cơ quan"),
            Column("loaded", "Lúc", p.TIME, width=150),
            Column("entries", "Số mục", p.COUNT, width=90),
            Column("source", "Nguồn"),
        ],
    )
    return [b.Row(5, first), b.Row(9, [(6, drift), (4, failed), (7, sizes), (7, catalogue)])]


def pipeline() -> models.Dashboard:
    """The board of the pipeline."""
    return b.make_board(
        b.PIPELINE,
        "Đường ống dữ liệu",
        "Từ Kafka đến bảng tổng hợp: tốc độ, lỗi, thời gian, tồn đọng của từng bước.",
        [_health(), _rates(), _durations(), _backlog(), _partitions(), *_dead_letters(), *_parts()],
        variables=variables(figures=False),
    )
