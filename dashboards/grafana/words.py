"""Vietnamese texts of the boards for the codes in series, and the colours that go with the texts.

A text is (value, shown text, colour). Tests compare the values with the reasons, findings, states, windows and alerts of the
code.
"""

from __future__ import annotations

from typing import Final

import yaml

from dashboards.queries import national as n
from dashboards.queries import pipeline as pipe
from dashboards.rules.generate import RuleTiming, render

Text = tuple[float | str, str, str]

GREEN, YELLOW, ORANGE, RED, DARK_RED = "green", "yellow", "orange", "red", "dark-red"
GREY, BLUE, PLAIN = "#808080", "blue", "text"
#: Colours that say that all is well: never those of a value that is not there.
GOOD: Final = frozenset({GREEN})

NO_DATA: Final = "Chưa có dữ liệu"

STATES: Final[tuple[Text, ...]] = (
    (n.NO_DATA, "Không có dữ liệu", GREY),
    (n.ZERO, "Bằng 0", DARK_RED),
    (n.BELOW5, "Dưới 5 %", RED),
    (n.BELOW10, "Dưới 10 %", ORANGE),
    (n.BELOW_TARGET, "Dưới mục tiêu", YELLOW),
    (n.ABOVE, "Từ 10 % trở lên", GREEN),
    (n.MET, "Đạt mục tiêu", GREEN),
    (n.NO_LIMITS, "Không đặt ngưỡng", BLUE),
)
BANNERS: Final[tuple[Text, ...]] = (
    (pipe.FRESH, "Số liệu đang cập nhật", GREEN),
    (pipe.QUIET, "Ngoài giờ làm việc: chưa có sự kiện mới trong 10 phút qua", BLUE),
    (pipe.SCENARIO, "Đồng hồ kịch bản: số liệu mô phỏng", BLUE),
    (pipe.NO_EVENTS, "Chưa nhận được sự kiện nào", ORANGE),
    (pipe.BEHIND, "ĐẾM CHẬM: các số bên dưới chưa gồm những sự kiện mới nhất", ORANGE),
    (pipe.STALE, "DỮ LIỆU CŨ: các số bên dưới dừng ở sự kiện mới nhất", RED),
    (pipe.STORAGE_DOWN, "KHO DỮ LIỆU KHÔNG TRẢ LỜI: không có số liệu mới", RED),
)
BANNER_NOTHING: Final = "KHÔNG CÓ SỐ LIỆU: exporter hoặc Prometheus không trả lời"

BLOCKS: Final[tuple[Text, ...]] = (("ministry", "Bộ, ngành", PLAIN), ("province", "Tỉnh, thành phố", PLAIN))
SEVERITIES: Final[tuple[Text, ...]] = (
    ("critical", "Nghiêm trọng", RED),
    ("warning", "Cảnh báo", ORANGE),
    ("info", "Thông tin", BLUE),
    ("none", "Kiểm tra", GREY),
)
KPIS: Final[tuple[Text, ...]] = (
    ("I1", "Tỷ lệ hồ sơ trực tuyến toàn trình", PLAIN),
    ("I5", "Tỷ lệ hồ sơ trực tuyến", PLAIN),
)
WINDOWS: Final[tuple[Text, ...]] = (
    ("ytd", "Từ đầu năm", PLAIN),
    ("month", "Từ đầu tháng", PLAIN),
    ("30d", "30 ngày qua", PLAIN),
    ("7d", "7 ngày qua", PLAIN),
    ("1d", "24 giờ qua", PLAIN),
    ("1h", "1 giờ qua", PLAIN),
)
RUNGS: Final[tuple[Text, ...]] = (
    ("zero", "Bằng 0", DARK_RED),
    ("below5", "Ngưỡng cảnh báo", RED),
    ("below10", "Mức 10 %", ORANGE),
    ("target", "Mục tiêu", BLUE),
)
YES_NO: Final[tuple[Text, ...]] = ((0, "Không trả lời", RED), (1, "Trả lời", GREEN))
OUTCOMES: Final[tuple[Text, ...]] = (
    ("stored", "Đã lưu", GREEN),
    ("dead_letter", "Bị loại", ORANGE),
    ("ok", "Thành công", GREEN),
    ("retryable", "Sẽ thử lại", ORANGE),
    ("refused", "Bị từ chối", RED),
    ("unknown", "Không rõ, worker dừng", DARK_RED),
)
SCOPES: Final[tuple[Text, ...]] = (
    ("agency_minute", "Theo phút", PLAIN),
    ("agency_day", "Theo ngày", PLAIN),
    ("agency_day_procedure", "Theo thủ tục", PLAIN),
    ("dossiers", "Theo hồ sơ", PLAIN),
)
REASONS: Final[tuple[Text, ...]] = tuple(
    (code, text, PLAIN)
    for code, text in {
        "empty": "Thông điệp rỗng",
        "too_large": "Quá lớn",
        "not_utf8": "Không phải UTF-8",
        "not_json": "Không phải JSON",
        "not_an_object": "Không phải đối tượng JSON",
        "missing_field": "Thiếu trường bắt buộc",
        "wrong_type": "Sai kiểu dữ liệu",
        "bad_event_id": "Mã sự kiện sai",
        "bad_dossier_code": "Mã hồ sơ sai",
        "impossible_date": "Ngày không có thật",
        "bad_procedure_code": "Mã thủ tục sai",
        "unknown_agency": "Không rõ cơ quan",
        "agency_not_in_force": "Cơ quan không còn hiệu lực",
        "unknown_status": "Không rõ trạng thái",
        "unknown_channel": "Không rõ kênh tiếp nhận",
        "unknown_service_level": "Không rõ mức độ dịch vụ",
        "unknown_legacy_level": "Không rõ mức độ cũ",
        "unknown_return": "Không rõ cách trả kết quả",
        "bad_occurred_at": "Thời điểm sai",
        "bad_due_at": "Hạn trả sai",
        "in_the_future": "Thời điểm trong tương lai",
        "bad_portal_id": "Mã cổng sai",
        "wrong_portal": "Gửi thay cơ quan khác",
        "unforeseen": "Lỗi chương trình",
        "refused_by_storage": "Kho dữ liệu từ chối",
    }.items()
)
FINDINGS: Final[tuple[Text, ...]] = tuple(
    (code, text, PLAIN)
    for code, text in {
        "settled_twice": "Giải quyết hai lần",
        "settled_by_return": "Trả kết quả mà chưa ghi đã giải quyết",
        "returned_after_refusal": "Trả hồ sơ sau khi từ chối, rút hoặc dừng",
        "resubmitted": "Nộp lại cùng mã sau khi từ chối, rút hoặc dừng",
        "reopened": "Mở lại sau khi đã giải quyết",
        "first_seen_late": "Thiếu bước nộp hoặc tiếp nhận",
        "settled_before_submitted": "Giải quyết trước khi nộp",
        "several_channels": "Nhiều kênh tiếp nhận",
        "several_units": "Nhiều cơ quan",
        "other_unit_than_code": "Cơ quan khác với mã hồ sơ",
        "corrected_time": "Sửa thời điểm",
        "no_channel": "Không có kênh tiếp nhận",
        "no_level": "Không có mức độ dịch vụ",
        "level_differs": "Mức độ khác danh mục",
        "not_in_catalogue": "Thủ tục ngoài danh mục",
        "too_many_events": "Quá nhiều sự kiện trong một hồ sơ",
        "excluded": "Loại khỏi thống kê",
    }.items()
)
OPERATIONS: Final[tuple[Text, ...]] = tuple(
    (code, text, PLAIN)
    for code, text in {
        "insert_events": "Lưu sự kiện",
        "insert_dead_letters": "Lưu sự kiện bị loại",
        "insert_checkpoints": "Lưu mốc giới hạn",
        "read_checkpoints": "Đọc mốc giới hạn",
        "recount_dead_letters": "Đếm sự kiện bị loại",
        "index_messages": "Lập chỉ mục hồ sơ",
        "note_dossiers": "Ghi hồ sơ đã đổi",
        "find_suspects": "Tìm hồ sơ cần xét",
        "read_histories": "Đọc lịch sử hồ sơ",
        "claim_corrections": "Nhận phần hiệu chỉnh",
        "insert_corrections": "Lưu hiệu chỉnh",
        "confirm_corrections": "Xác nhận hiệu chỉnh",
        "recount_minutes": "Đếm lại theo phút",
        "roll_up_days": "Cộng theo ngày",
        "recount_procedures": "Đếm lại theo thủ tục",
        "waiting_dossiers": "Tìm hồ sơ đang chờ",
        "judged_histories": "Đọc lịch sử để xét",
        "write_dossiers": "Ghi bảng hồ sơ",
    }.items()
)


def alert_texts() -> tuple[Text, ...]:
    """The names of all alerts of the rules, each with its summary as the shown text."""
    rules = [
        rule
        for text in render(RuleTiming.production()).values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    return tuple((rule["alert"], str(rule["annotations"]["summary"]).rstrip("."), PLAIN) for rule in rules)


def names(texts: tuple[Text, ...]) -> dict[str, str]:
    """Code -> shown text, for legends."""
    return {str(code): text for code, text, _ in texts}
