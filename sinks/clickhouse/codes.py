"""ClickHouse error codes by consequence. What is not listed is Unknown: it stops the worker.

Names and numbers: ClickHouse, src/Common/ErrorCodes.cpp. The consequence is ours; the reason stands beside each line.
"""

from __future__ import annotations

from typing import Final

#: code -> (name, seconds to wait). The same request may succeed later without anybody touching it.
RETRYABLE: Final[dict[int, tuple[str, float]]] = {
    3: ("UNEXPECTED_END_OF_FILE", 0.5),  # the connection broke in the middle of the body
    74: ("CANNOT_READ_FROM_FILE_DESCRIPTOR", 1.0),  # a disk hiccup
    75: ("CANNOT_WRITE_TO_FILE_DESCRIPTOR", 1.0),
    99: ("UNKNOWN_PACKET_FROM_CLIENT", 0.5),
    159: ("TIMEOUT_EXCEEDED", 2.0),  # too slow under load; idempotent, so again
    201: ("QUOTA_EXCEEDED", 5.0),  # quotas refill with time
    202: ("TOO_MANY_SIMULTANEOUS_QUERIES", 1.0),
    203: ("NO_FREE_CONNECTION", 1.0),
    209: ("SOCKET_TIMEOUT", 1.0),
    210: ("NETWORK_ERROR", 1.0),
    236: ("ABORTED", 1.0),  # the server is shutting down
    241: ("MEMORY_LIMIT_EXCEEDED", 2.0),  # other queries hold the memory
    242: ("TABLE_IS_READ_ONLY", 2.0),  # a replica lost its Keeper session
    243: ("NOT_ENOUGH_SPACE", 5.0),  # the disk is full until somebody frees it
    252: ("TOO_MANY_PARTS", 2.0),  # merges are behind
    279: ("ALL_CONNECTION_TRIES_FAILED", 1.0),
    319: ("UNKNOWN_STATUS_OF_INSERT", 1.0),  # idempotent, so again
    394: ("QUERY_WAS_CANCELLED", 1.0),
    425: ("SYSTEM_ERROR", 1.0),
    439: ("CANNOT_SCHEDULE_TASK", 1.0),  # no free thread
    473: ("DEADLOCK_AVOIDED", 1.0),
    999: ("KEEPER_EXCEPTION", 2.0),
}

#: code -> name. These rows can never be stored as they are.
REFUSED_ROWS: Final[dict[int, str]] = {
    6: "CANNOT_PARSE_TEXT",
    26: "CANNOT_PARSE_QUOTED_STRING",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    117: "INCORRECT_DATA",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    376: "CANNOT_PARSE_UUID",
    469: "VIOLATED_CONSTRAINT",
    691: "UNKNOWN_ELEMENT_OF_ENUM",
}
