"""The dossier event (sự kiện hồ sơ): its fields, code lists and limits, and the closed list of reasons to reject a message.

This module defines the contract of events. ``pipeline.decode.validator`` applies it to single messages and
``pipeline.decode.decoder`` in bulk.
Sources: docs/domain.md (statuses and channels of the national portal; levels of Nghị định 42/2022/NĐ-CP).
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from dataclasses import dataclass


class Status(enum.IntEnum):
    """Dossier status (trạng thái hồ sơ) as set by the national portal."""

    REGISTERED = 1  # Mới đăng ký
    RECEIVED = 2  # Được tiếp nhận
    REFUSED = 3  # Không được tiếp nhận
    PROCESSING = 4  # Đang xử lý
    SUPPLEMENT_REQUESTED = 5  # Yêu cầu bổ sung giấy tờ
    PAYMENT_REQUESTED = 6  # Yêu cầu thực hiện nghĩa vụ tài chính
    WITHDRAWN = 7  # Công dân yêu cầu rút hồ sơ
    STOPPED = 8  # Dừng xử lý
    SETTLED = 9  # Đã xử lý xong
    RETURNED = 10  # Đã trả kết quả


class Channel(enum.IntEnum):
    """Submission channel (kênh nộp)."""

    IN_PERSON = 1  # Trực tiếp
    ONLINE = 2  # Trực tuyến
    POST = 3  # Qua bưu chính công ích


class ServiceLevel(enum.StrEnum):
    """Level of an online service (mức độ dịch vụ công)."""

    FULL = "toan_trinh"  # Toàn trình
    PARTIAL = "mot_phan"  # Một phần
    INFORMATION = "cung_cap_thong_tin"  # Cung cấp thông tin


class ReturnedBy(enum.StrEnum):
    """How the result reached the applicant (hình thức trả kết quả)."""

    ONLINE = "online"
    POST = "post"
    COUNTER = "counter"


#: The fields that every message must have.
REQUIRED_FIELDS = (
    "event_id",
    "dossier_code",
    "agency_code",
    "procedure_code",
    "status",
    "occurred_at",
)
#: The fields that a message may have. An absent, null or empty one is missing; the dossier counts all the same.
OPTIONAL_FIELDS = ("channel", "service_level", "legacy_level", "returned_by", "due_at", "portal_id")
#: The fields that are read. Other fields are ignored and never stored.
FIELDS = (*REQUIRED_FIELDS, *OPTIONAL_FIELDS)
#: What columns and tables hold as the due date where none was sent.
DUE_NOT_SENT = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: A larger message is rejected without being parsed (bytes).
MAX_MESSAGE_BYTES = 65_536
#: Deeper nesting is rejected, even in ignored fields. A parser's own limit would depend on the stack depth of its caller.
MAX_NESTING = 64
#: ``mã hồ sơ``; the date inside it is checked separately (``dossier_date_exists``).
DOSSIER_CODE = r"^(?:[0-9A-Z]{2,3}\.){0,3}[A-Z][0-9]{2}(?:\.[0-9]{1,3}){0,4}-(?:[0-9]{8}|[0-9]{6})-[0-9]{4,7}$"
#: Procedure codes (mã TTHC) differ between systems, so only length and characters are checked.
PROCEDURE_CODE = r"^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$"
PORTAL_ID = r"^[0-9A-Za-z][0-9A-Za-z._:-]{0,63}$"
#: An ISO 8601 / RFC 3339 time with an offset. The date is strict; seconds may be omitted and a space may replace the T.
OCCURRED_AT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}(?::?[0-5][0-9])?)$"
)
EVENT_ID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

LEGACY_LEVELS = range(1, 5)


class Reason(enum.StrEnum):
    """Why a message was dead-lettered: every value of the column ``dead_letters.reason`` and of the metrics' label ``reason``."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    BAD_EVENT_ID = "bad_event_id"
    BAD_DOSSIER_CODE = "bad_dossier_code"
    IMPOSSIBLE_DATE = "impossible_date"
    BAD_PROCEDURE_CODE = "bad_procedure_code"
    UNKNOWN_AGENCY = "unknown_agency"
    AGENCY_NOT_IN_FORCE = "agency_not_in_force"
    UNKNOWN_STATUS = "unknown_status"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_SERVICE_LEVEL = "unknown_service_level"
    UNKNOWN_LEGACY_LEVEL = "unknown_legacy_level"
    UNKNOWN_RETURN = "unknown_return"
    BAD_OCCURRED_AT = "bad_occurred_at"
    BAD_DUE_AT = "bad_due_at"
    IN_THE_FUTURE = "in_the_future"
    BAD_PORTAL_ID = "bad_portal_id"
    WRONG_PORTAL = "wrong_portal"
    UNFORESEEN = "unforeseen"
    REFUSED_BY_STORAGE = "refused_by_storage"


@dataclass(frozen=True, slots=True)
class DossierEvent:
    """One valid event. ``agency``: its unit, the level-1 code of the agency that it counts for (``domain.units``)."""

    event_id: uuid.UUID
    dossier_code: str
    agency: str
    procedure_code: str
    status: int
    channel: int  # 0: not sent
    service_level: str  # "": not sent
    occurred_at: dt.datetime  # UTC, whole milliseconds
    legacy_level: int = 0  # 0: not sent
    returned_by: str = ""  # "": not sent
    portal_id: str = ""
    due_at: dt.datetime | None = None  # UTC, whole milliseconds; None: not sent
    named_by_code: bool = True  # whether the dossier code names the agency; see ``domain.units``


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message is not a valid event: a reason of the closed list and one sentence of detail."""

    reason: Reason
    detail: str


def dossier_date_exists(dossier_code: str) -> bool:
    """Whether the date inside a well-formed dossier code is a day of the calendar (``yyMMdd`` or ``yyyyMMdd``)."""
    digits = dossier_code.rsplit("-", 2)[1]
    year, month, day = (digits[:4], digits[4:6], digits[6:]) if len(digits) == 8 else ("20" + digits[:2], digits[2:4], digits[4:])
    try:
        dt.date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True
