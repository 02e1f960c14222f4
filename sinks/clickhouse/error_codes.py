"""ClickHouse error codes by consequence: wait and repeat, dead-letter the rows, or stop. A code that is not listed means stop.

Names and numbers are those of src/Common/ErrorCodes.cpp; a test compares each with the real server. ``source`` tells where in
ClickHouse the code is thrown, and why it has this consequence. docs/errors.md shows the same tables.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class RetryCode(NamedTuple):
    """A code after which the same request may succeed later without intervention; ``pause``: seconds before the first retry."""

    name: str
    pause: float
    source: str


class RefusedCode(NamedTuple):
    """A code that says that at least one of the rows can never be stored as it is."""

    name: str
    source: str


class FatalCode(NamedTuple):
    """A code after which neither waiting nor skipping rows helps; ``remedy``: what a person has to do."""

    name: str
    source: str
    remedy: str


RETRYABLE: Final[dict[int, RetryCode]] = {
    3: RetryCode("UNEXPECTED_END_OF_FILE", 0.5, "IO: the connection broke in the middle of the body; the body is sent again"),
    32: RetryCode(
        "ATTEMPT_TO_READ_AFTER_EOF", 1.0, "IO/VarInt, IO/ReadHelpers: another server closed the connection during its answer"
    ),
    74: RetryCode(
        "CANNOT_READ_FROM_FILE_DESCRIPTOR", 1.0, "IO/ReadBufferFromFileDescriptor: read(2) failed because of a disk error"
    ),
    75: RetryCode(
        "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
        1.0,
        "IO/WriteBufferFromFileDescriptor: write(2) failed, for example because the disk is full",
    ),
    76: RetryCode(
        "CANNOT_OPEN_FILE", 1.0, "IO/OpenedFile: open(2) failed, usually because the process has no file descriptor left"
    ),
    95: RetryCode("CANNOT_READ_FROM_SOCKET", 1.0, "IO/ReadBufferFromPocoSocket: a connection broke"),
    96: RetryCode("CANNOT_WRITE_TO_SOCKET", 1.0, "IO/WriteBufferFromPocoSocket: a connection broke"),
    159: RetryCode(
        "TIMEOUT_EXCEEDED", 2.0, "QueryPipeline/ExecutionSpeedLimits: too slow under load; every statement may be repeated"
    ),
    160: RetryCode(
        "TOO_SLOW", 2.0, "QueryPipeline/ExecutionSpeedLimits: below min_execution_speed while the server is under load"
    ),
    173: RetryCode("CANNOT_ALLOCATE_MEMORY", 2.0, "Common/Allocator: mmap(2) failed because the machine has no free memory"),
    198: RetryCode("DNS_ERROR", 2.0, "Common/DNSResolver: the name of another server cannot be resolved at the moment"),
    201: RetryCode("QUOTA_EXCEEDED", 5.0, "Access/EnabledQuota: the quota is available again in its next interval"),
    202: RetryCode("TOO_MANY_SIMULTANEOUS_QUERIES", 1.0, "Interpreters/ProcessList: other queries will end"),
    203: RetryCode("NO_FREE_CONNECTION", 1.0, "Common/PoolBase, Client: every connection to another server is in use"),
    204: RetryCode(
        "CANNOT_FSYNC", 1.0, "IO/WriteBufferFromFileDescriptor: fsync(2) failed; the insert did not take effect and is sent again"
    ),
    209: RetryCode(
        "SOCKET_TIMEOUT", 1.0, "IO/ReadBufferFromPocoSocket: the server timed out waiting for this client or for another server"
    ),
    210: RetryCode("NETWORK_ERROR", 1.0, "IO/WriteBufferFromPocoSocket, Client/Connection: a connection broke"),
    225: RetryCode(
        "NO_ZOOKEEPER", 2.0, "StorageReplicatedMergeTree::getZooKeeper, ReplicatedMergeTreeSink: no session with Keeper"
    ),
    236: RetryCode("ABORTED", 1.0, "Storages/MergeTree, Interpreters: the server is shutting down"),
    241: RetryCode("MEMORY_LIMIT_EXCEEDED", 2.0, "Common/MemoryTracker: other queries hold the memory"),
    242: RetryCode("TABLE_IS_READ_ONLY", 2.0, "StorageReplicatedMergeTree: the replica lost its Keeper session and reconnects"),
    243: RetryCode(
        "NOT_ENOUGH_SPACE", 5.0, "Storages/MergeTree reserves space before it writes: the disk is full until space is freed"
    ),
    252: RetryCode("TOO_MANY_PARTS", 2.0, "MergeTreeData::delayInsertOrThrowIfNeeded: merges are behind"),
    254: RetryCode(
        "NO_ACTIVE_REPLICAS", 2.0, "ReplicatedMergeTreeSink: the replica left while an insert was waiting for its quorum"
    ),
    265: RetryCode("NO_AVAILABLE_REPLICA", 1.0, "Client/MultiplexedConnections: every replica of a shard closed its connection"),
    279: RetryCode("ALL_CONNECTION_TRIES_FAILED", 1.0, "Client/ConnectionPoolWithFailover: no replica of a shard answers"),
    285: RetryCode("TOO_FEW_LIVE_REPLICAS", 2.0, "ReplicatedMergeTreeSink: a quorum insert waits for replicas to come back"),
    286: RetryCode(
        "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
        2.0,
        "ReplicatedMergeTreeSink: the previous insert is still waiting for its quorum",
    ),
    289: RetryCode(
        "REPLICA_IS_NOT_IN_QUORUM", 2.0, "StorageReplicatedMergeTree: the replica has not yet fetched what a quorum stored"
    ),
    319: RetryCode(
        "UNKNOWN_STATUS_OF_INSERT",
        1.0,
        "ReplicatedMergeTreeSink: the connection to Keeper was lost during the commit; a repeat replaces the same rows",
    ),
    341: RetryCode(
        "UNFINISHED", 5.0, "StorageReplicatedMergeTree::waitMutation: a replica is down; the deletion goes on when it is back"
    ),
    364: RetryCode("RECEIVED_ERROR_TOO_MANY_REQUESTS", 2.0, "IO/HTTPCommon: a service behind ClickHouse asks it to slow down"),
    369: RetryCode("ALL_REPLICAS_ARE_STALE", 2.0, "Client/ConnectionPoolWithFailover: every replica is behind and will catch up"),
    384: RetryCode("PART_IS_TEMPORARILY_LOCKED", 1.0, "MergeTreeData: a part is being moved or merged"),
    394: RetryCode("QUERY_WAS_CANCELLED", 1.0, "Interpreters/ProcessList: KILL QUERY was run, or the server is shutting down"),
    416: RetryCode("REPLICA_STATUS_CHANGED", 1.0, "StorageReplicatedMergeTree: the replica changed its state during the call"),
    425: RetryCode("SYSTEM_ERROR", 1.0, "Common: a system call failed because descriptors or memory ran out"),
    439: RetryCode("CANNOT_SCHEDULE_TASK", 1.0, "Common/ThreadPool: no thread is free"),
    473: RetryCode(
        "DEADLOCK_AVOIDED", 1.0, "Storages/IStorage: a lock on the table was not granted in time; the text asks to retry"
    ),
    499: RetryCode("S3_ERROR", 2.0, "IO/S3: a disk of ClickHouse is in an object store that did not answer"),
    517: RetryCode(
        "CANNOT_ASSIGN_ALTER", 1.0, "StorageReplicatedMergeTree::alter: the replica has not applied an earlier ALTER yet"
    ),
    519: RetryCode("NO_REMOTE_SHARD_AVAILABLE", 2.0, "Storages/getStructureOfRemoteTable: no replica of a shard answers"),
    574: RetryCode("DISTRIBUTED_TOO_MANY_PENDING_BYTES", 2.0, "StorageDistributed: rows for an unavailable shard wait on disk"),
    667: RetryCode("NOT_INITIALIZED", 1.0, "StorageReplicatedMergeTree: the table is still being started"),
    692: RetryCode("TOO_MANY_MUTATIONS", 2.0, "MergeTreeData::delayMutationOrThrowIfNeeded: earlier deletions are behind"),
    733: RetryCode("TABLE_IS_BEING_RESTARTED", 1.0, "Interpreters/InterpreterSystemQuery: SYSTEM RESTART REPLICA is running"),
    735: RetryCode("QUERY_WAS_CANCELLED_BY_CLIENT", 1.0, "Interpreters/ProcessList: a connection between servers was closed"),
    745: RetryCode(
        "SERVER_OVERLOADED", 1.0, "Interpreters/ProcessList: the server refuses queries while its processors are busy"
    ),
    999: RetryCode("KEEPER_EXCEPTION", 2.0, "Common/ZooKeeper: Keeper does not answer or elects a leader"),
}

REFUSED_ROWS: Final[dict[int, RefusedCode]] = {
    6: RefusedCode("CANNOT_PARSE_TEXT", "IO/ReadHelpers: a value cannot be read as its column's type"),
    26: RefusedCode("CANNOT_PARSE_QUOTED_STRING", "IO/ReadHelpers: a quoted value does not end"),
    27: RefusedCode("CANNOT_PARSE_INPUT_ASSERTION_FAILED", "IO/ReadHelpers: another character was expected"),
    38: RefusedCode("CANNOT_PARSE_DATE", "IO/ReadHelpers: not a date"),
    41: RefusedCode("CANNOT_PARSE_DATETIME", "IO/ReadHelpers: not a time"),
    69: RefusedCode("ARGUMENT_OUT_OF_BOUND", "Functions, DataTypes: a value beyond what its type can hold"),
    70: RefusedCode("CANNOT_CONVERT_TYPE", "Interpreters/convertFieldToType: a value of another type"),
    117: RefusedCode("INCORRECT_DATA", "Processors/Formats: the rows contradict their format"),
    321: RefusedCode("VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", "Processors/Formats: a date or number beyond its type"),
    349: RefusedCode(
        "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", "Columns, Functions/CAST: a null in a column that does not allow it"
    ),
    376: RefusedCode("CANNOT_PARSE_UUID", "IO/ReadHelpers: not a UUID"),
    469: RefusedCode(
        "VIOLATED_CONSTRAINT", "Processors/Transforms/CheckConstraintsTransform: a row violates a constraint of the table"
    ),
    691: RefusedCode("UNKNOWN_ELEMENT_OF_ENUM", "DataTypes/EnumValues: a value that the column's Enum does not have"),
}

_SCHEMA = (
    "The tables do not match this release. Run `portalpulse migrate` to update them. "
    "Restore renamed or dropped tables and columns by hand."
)
_CREDENTIALS = "Correct the user and the password in the address of the storage."
_RELEASE = "This release of ClickHouse is not supported. Use one that docs/guarantees.md names."
_LIMIT = "A limit in the profile of this user is too low for portalpulse. Raise it."
#: The beginning of a SYNTAX_ERROR that is caused by a limit: the statement was cut at max_query_size.
QUERY_CUT: Final = "Max query size exceeded"
QUERY_CUT_REMEDY: Final = _LIMIT
_PINNED = (
    "The profile of this user forbids the setting that the text names, and without it figures could be incomplete. "
    "Remove the constraint or the setting from the profile, or give this user another profile."
)

#: Listed for the remedy; a code that is in none of these tables has the same consequence.
FATAL: Final[dict[int, FatalCode]] = {
    16: FatalCode("NO_SUCH_COLUMN_IN_TABLE", "Storages: the insert names a column that the table lacks", _SCHEMA),
    47: FatalCode("UNKNOWN_IDENTIFIER", "Analyzer: a query names a column that the table lacks", _SCHEMA),
    60: FatalCode("UNKNOWN_TABLE", "Interpreters/DatabaseCatalog: it was dropped or renamed", _SCHEMA),
    62: FatalCode("SYNTAX_ERROR", "Parsers: a statement of portalpulse that this release cannot parse", _RELEASE),
    81: FatalCode("UNKNOWN_DATABASE", "Interpreters/DatabaseCatalog: it was dropped or renamed", _SCHEMA),
    115: FatalCode("UNKNOWN_SETTING", "Core/BaseSettings: a setting that portalpulse sends and this release lacks", _RELEASE),
    158: FatalCode("TOO_MANY_ROWS", "QueryPipeline/SizeLimits: max_rows_to_read and similar settings", _LIMIT),
    161: FatalCode("TOO_MANY_COLUMNS", "Processors/QueryPlan: max_columns_to_read", _LIMIT),
    162: FatalCode("TOO_DEEP_SUBQUERIES", "Interpreters/InterpreterSelectQuery: max_subquery_depth", _LIMIT),
    164: FatalCode(
        "READONLY",
        "Interpreters/InterpreterSetQuery, Access: the user's profile says readonly",
        "A user that writes needs a profile without readonly. One that only reads needs readonly = 2, or a profile that leaves "
        "the setting that the text names at its default.",
    ),
    165: FatalCode("TOO_MANY_TEMPORARY_COLUMNS", "Interpreters/ExpressionActions: max_temporary_columns", _LIMIT),
    166: FatalCode(
        "TOO_MANY_TEMPORARY_NON_CONST_COLUMNS", "Interpreters/ExpressionActions: max_temporary_non_const_columns", _LIMIT
    ),
    167: FatalCode("TOO_DEEP_AST", "Parsers/IAST: max_ast_depth", _LIMIT),
    168: FatalCode("TOO_BIG_AST", "Parsers/IAST: max_ast_elements and max_expanded_ast_elements", _LIMIT),
    181: FatalCode(
        "ILLEGAL_FINAL",
        "Planner: a table has another engine than the migrations of portalpulse create it with",
        "Rename the table, run `portalpulse migrate` to create it again, and copy the rows of the renamed one into it.",
    ),
    191: FatalCode(
        "SET_SIZE_LIMIT_EXCEEDED", "Interpreters/Set, HashJoin: max_rows_in_set, max_rows_in_join and similar settings", _LIMIT
    ),
    192: FatalCode("UNKNOWN_USER", "Access/AccessControl: no such user", _CREDENTIALS),
    193: FatalCode("WRONG_PASSWORD", "Access: wrong password, older releases", _CREDENTIALS),
    194: FatalCode("REQUIRED_PASSWORD", "Access: a password is required, older releases", _CREDENTIALS),
    195: FatalCode(
        "IP_ADDRESS_NOT_ALLOWED",
        "Access/Authentication: not from this address",
        "Add this machine to the allowed networks of the user.",
    ),
    277: FatalCode(
        "INDEX_NOT_USED",
        "MergeTreeDataSelectExecutor: force_primary_key, force_data_skipping_indices and similar settings",
        "Remove the settings that force an index from the profile of this user.",
    ),
    306: FatalCode("TOO_DEEP_RECURSION", "Parsers/IParser: max_parser_depth", _LIMIT),
    307: FatalCode("TOO_MANY_BYTES", "QueryPipeline/SizeLimits: max_bytes_to_read and similar settings", _LIMIT),
    392: FatalCode(
        "QUERY_IS_PROHIBITED",
        "Access/ContextAccess: allow_ddl = 0 in the profile",
        "Workers and `portalpulse migrate` create tables. Allow DDL for this user, or use another user for them.",
    ),
    396: FatalCode("TOO_MANY_ROWS_OR_BYTES", "QueryPipeline/SizeLimits: max_result_rows and similar settings", _LIMIT),
    452: FatalCode(
        "SETTING_CONSTRAINT_VIOLATION",
        "Access/SettingsConstraints: the profile forbids a setting that portalpulse sends",
        _PINNED,
    ),
    497: FatalCode(
        "ACCESS_DENIED",
        "Access/ContextAccess: a permission is missing; the text names it",
        "A worker needs SELECT, INSERT, ALTER, CREATE and DROP on the database, a reader needs SELECT. Grant what is missing.",
    ),
    565: FatalCode("TOO_MANY_PARTITIONS", "MergeTreeDataSelectExecutor: max_partitions_to_read", _LIMIT),
    516: FatalCode("AUTHENTICATION_FAILED", "Access/AccessControl: no such user, or a wrong password", _CREDENTIALS),
    774: FatalCode(
        "TABLE_IS_PERMANENTLY_READ_ONLY",
        "MergeTreeData: the setting table_readonly of the table is set",
        "Ask the person who set it, then run ALTER TABLE .. RESET SETTING table_readonly.",
    ),
}
