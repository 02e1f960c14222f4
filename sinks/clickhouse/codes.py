"""ClickHouse error codes by consequence: wait and repeat, set the rows aside, or stop. What is not listed stops, too.

Names and numbers are those of src/Common/ErrorCodes.cpp; a test compares every one with the real server. Beside each line stands
its source: where in ClickHouse it is thrown, and why that has this consequence. docs/errors.md shows the same tables.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class RetryCode(NamedTuple):
    """The same request may succeed later without anybody touching it; ``pause``: seconds before the first repetition."""

    name: str
    pause: float
    source: str


class RefusedCode(NamedTuple):
    """At least one of these rows can never be stored as it is."""

    name: str
    source: str


class FatalCode(NamedTuple):
    """Nothing gets better by waiting, and it is not the fault of the rows; ``remedy``: what a person has to do."""

    name: str
    source: str
    remedy: str


RETRYABLE: Final[dict[int, RetryCode]] = {
    3: RetryCode("UNEXPECTED_END_OF_FILE", 0.5, "IO: the connection broke in the middle of the body; the body is sent again"),
    32: RetryCode(
        "ATTEMPT_TO_READ_AFTER_EOF", 1.0, "IO/VarInt, IO/ReadHelpers: another server ended the connection it answered over"
    ),
    74: RetryCode(
        "CANNOT_READ_FROM_FILE_DESCRIPTOR", 1.0, "IO/ReadBufferFromFileDescriptor: read(2) failed, a hiccup of the disk"
    ),
    75: RetryCode(
        "CANNOT_WRITE_TO_FILE_DESCRIPTOR", 1.0, "IO/WriteBufferFromFileDescriptor: write(2) failed, a full disk among others"
    ),
    76: RetryCode("CANNOT_OPEN_FILE", 1.0, "IO/OpenedFile: open(2) failed, mostly for want of descriptors"),
    95: RetryCode("CANNOT_READ_FROM_SOCKET", 1.0, "IO/ReadBufferFromPocoSocket: a connection broke"),
    96: RetryCode("CANNOT_WRITE_TO_SOCKET", 1.0, "IO/WriteBufferFromPocoSocket: a connection broke"),
    159: RetryCode(
        "TIMEOUT_EXCEEDED", 2.0, "QueryPipeline/ExecutionSpeedLimits: too slow under load; repeating changes nothing twice"
    ),
    160: RetryCode(
        "TOO_SLOW", 2.0, "QueryPipeline/ExecutionSpeedLimits: below min_execution_speed while the server is under load"
    ),
    173: RetryCode("CANNOT_ALLOCATE_MEMORY", 2.0, "Common/Allocator: mmap(2) failed, the machine is out of memory for now"),
    198: RetryCode("DNS_ERROR", 2.0, "Common/DNSResolver: the name of another server cannot be resolved for now"),
    201: RetryCode("QUOTA_EXCEEDED", 5.0, "Access/EnabledQuota: a quota refills with its interval"),
    202: RetryCode("TOO_MANY_SIMULTANEOUS_QUERIES", 1.0, "Interpreters/ProcessList: others end"),
    203: RetryCode("NO_FREE_CONNECTION", 1.0, "Common/PoolBase, Client: every connection to another server is in use"),
    204: RetryCode(
        "CANNOT_FSYNC", 1.0, "IO/WriteBufferFromFileDescriptor: fsync(2) failed; the insert did not count and is sent again"
    ),
    209: RetryCode("SOCKET_TIMEOUT", 1.0, "IO/ReadBufferFromPocoSocket: the server waited in vain for us or for another server"),
    210: RetryCode("NETWORK_ERROR", 1.0, "IO/WriteBufferFromPocoSocket, Client/Connection: a connection broke"),
    225: RetryCode(
        "NO_ZOOKEEPER", 2.0, "StorageReplicatedMergeTree::getZooKeeper, ReplicatedMergeTreeSink: no session with Keeper"
    ),
    236: RetryCode("ABORTED", 1.0, "Storages/MergeTree, Interpreters: the server is shutting down"),
    241: RetryCode("MEMORY_LIMIT_EXCEEDED", 2.0, "Common/MemoryTracker: other queries hold the memory"),
    242: RetryCode("TABLE_IS_READ_ONLY", 2.0, "StorageReplicatedMergeTree: the replica lost its Keeper session and looks for it"),
    243: RetryCode(
        "NOT_ENOUGH_SPACE", 5.0, "Storages/MergeTree reserves space before it writes: the disk is full until it is freed"
    ),
    252: RetryCode("TOO_MANY_PARTS", 2.0, "MergeTreeData::delayInsertOrThrowIfNeeded: merges are behind"),
    254: RetryCode("NO_ACTIVE_REPLICAS", 2.0, "ReplicatedMergeTreeSink: the replica left while an insert gathered its quorum"),
    265: RetryCode("NO_AVAILABLE_REPLICA", 1.0, "Client/MultiplexedConnections: every replica of a shard hung up"),
    279: RetryCode("ALL_CONNECTION_TRIES_FAILED", 1.0, "Client/ConnectionPoolWithFailover: no replica of a shard answers"),
    285: RetryCode("TOO_FEW_LIVE_REPLICAS", 2.0, "ReplicatedMergeTreeSink: a quorum insert waits for replicas to come back"),
    286: RetryCode(
        "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", 2.0, "ReplicatedMergeTreeSink: the insert before still gathers its quorum"
    ),
    289: RetryCode(
        "REPLICA_IS_NOT_IN_QUORUM", 2.0, "StorageReplicatedMergeTree: the replica has not fetched what a quorum stored; it will"
    ),
    319: RetryCode(
        "UNKNOWN_STATUS_OF_INSERT", 1.0, "ReplicatedMergeTreeSink: Keeper was lost while committing; again, repeats replace"
    ),
    364: RetryCode("RECEIVED_ERROR_TOO_MANY_REQUESTS", 2.0, "IO/HTTPCommon: a service behind ClickHouse asks it to slow down"),
    369: RetryCode("ALL_REPLICAS_ARE_STALE", 2.0, "Client/ConnectionPoolWithFailover: every replica is behind; they catch up"),
    384: RetryCode("PART_IS_TEMPORARILY_LOCKED", 1.0, "MergeTreeData: a part is being moved or merged"),
    394: RetryCode(
        "QUERY_WAS_CANCELLED", 1.0, "Interpreters/ProcessList: somebody ran KILL QUERY, or the server is shutting down"
    ),
    416: RetryCode("REPLICA_STATUS_CHANGED", 1.0, "StorageReplicatedMergeTree: the replica changed its state meanwhile"),
    425: RetryCode("SYSTEM_ERROR", 1.0, "Common: a system call failed for want of descriptors or memory"),
    439: RetryCode("CANNOT_SCHEDULE_TASK", 1.0, "Common/ThreadPool: no thread is free"),
    473: RetryCode(
        "DEADLOCK_AVOIDED", 1.0, "Storages/IStorage: a lock on the table was not given in time; its text asks to retry"
    ),
    499: RetryCode("S3_ERROR", 2.0, "IO/S3: a disk of ClickHouse lies in an object store that did not answer"),
    519: RetryCode("NO_REMOTE_SHARD_AVAILABLE", 2.0, "Storages/getStructureOfRemoteTable: no replica of a shard answers"),
    574: RetryCode("DISTRIBUTED_TOO_MANY_PENDING_BYTES", 2.0, "StorageDistributed: rows for a shard that is away wait on disk"),
    667: RetryCode("NOT_INITIALIZED", 1.0, "StorageReplicatedMergeTree: the table is still being started"),
    692: RetryCode("TOO_MANY_MUTATIONS", 2.0, "MergeTreeData::delayMutationOrThrowIfNeeded: earlier deletions are behind"),
    733: RetryCode("TABLE_IS_BEING_RESTARTED", 1.0, "Interpreters/InterpreterSystemQuery: SYSTEM RESTART REPLICA is at work"),
    735: RetryCode("QUERY_WAS_CANCELLED_BY_CLIENT", 1.0, "Interpreters/ProcessList: a connection between servers was given up"),
    745: RetryCode("SERVER_OVERLOADED", 1.0, "Interpreters/ProcessList: the server sheds load while its processors are busy"),
    999: RetryCode("KEEPER_EXCEPTION", 2.0, "Common/ZooKeeper: Keeper does not answer or elects a leader"),
}

REFUSED_ROWS: Final[dict[int, RefusedCode]] = {
    6: RefusedCode("CANNOT_PARSE_TEXT", "IO/ReadHelpers: a value cannot be read as its column's type"),
    26: RefusedCode("CANNOT_PARSE_QUOTED_STRING", "IO/ReadHelpers: a quoted value does not end"),
    27: RefusedCode("CANNOT_PARSE_INPUT_ASSERTION_FAILED", "IO/ReadHelpers: another character was due"),
    38: RefusedCode("CANNOT_PARSE_DATE", "IO/ReadHelpers: no date"),
    41: RefusedCode("CANNOT_PARSE_DATETIME", "IO/ReadHelpers: no time"),
    69: RefusedCode("ARGUMENT_OUT_OF_BOUND", "Functions, DataTypes: a value beyond what its type can hold"),
    70: RefusedCode("CANNOT_CONVERT_TYPE", "Interpreters/convertFieldToType: a value of another type"),
    117: RefusedCode("INCORRECT_DATA", "Processors/Formats: the rows contradict their format"),
    321: RefusedCode("VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", "Processors/Formats: a date or number beyond its type"),
    349: RefusedCode("CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", "Columns, Functions/CAST: a null where none may be"),
    376: RefusedCode("CANNOT_PARSE_UUID", "IO/ReadHelpers: no UUID"),
    469: RefusedCode("VIOLATED_CONSTRAINT", "Processors/Transforms/CheckConstraintsTransform: a row breaks a rule of the table"),
    691: RefusedCode("UNKNOWN_ELEMENT_OF_ENUM", "DataTypes/EnumValues: a word that the column does not know"),
}

_SCHEMA = (
    "The tables are not those of this release: `portalpulse migrate` brings them up to date. "
    "What somebody renamed or dropped has to be put back by hand."
)
_CREDENTIALS = "Correct the user and the password in the address of the storage."
_RELEASE = "This release of ClickHouse does not understand portalpulse: use one that docs/guarantees.md names."
_LIMIT = "A limit in the profile of this user is too low for portalpulse: raise it."
#: How ClickHouse begins a SYNTAX_ERROR that is none: the statement was cut at max_query_size.
QUERY_CUT: Final = "Max query size exceeded"
QUERY_CUT_REMEDY: Final = _LIMIT
_PINNED = (
    "The profile of this user forbids the setting that the text names, and without it figures could be incomplete: "
    "remove the constraint or the setting from the profile, or give this user another profile."
)

#: Listed for the remedy; a code that stands nowhere has the same consequence.
FATAL: Final[dict[int, FatalCode]] = {
    16: FatalCode("NO_SUCH_COLUMN_IN_TABLE", "Storages: the insert names a column that the table lacks", _SCHEMA),
    47: FatalCode("UNKNOWN_IDENTIFIER", "Analyzer: a query names a column that the table lacks", _SCHEMA),
    60: FatalCode("UNKNOWN_TABLE", "Interpreters/DatabaseCatalog: somebody dropped or renamed it", _SCHEMA),
    62: FatalCode("SYNTAX_ERROR", "Parsers: a statement of ours that this release cannot read", _RELEASE),
    81: FatalCode("UNKNOWN_DATABASE", "Interpreters/DatabaseCatalog: somebody dropped or renamed it", _SCHEMA),
    115: FatalCode("UNKNOWN_SETTING", "Core/BaseSettings: a setting of ours that this release lacks", _RELEASE),
    158: FatalCode("TOO_MANY_ROWS", "QueryPipeline/SizeLimits: max_rows_to_read and its like", _LIMIT),
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
    191: FatalCode(
        "SET_SIZE_LIMIT_EXCEEDED", "Interpreters/Set, HashJoin: max_rows_in_set, max_rows_in_join and their like", _LIMIT
    ),
    192: FatalCode("UNKNOWN_USER", "Access/AccessControl: no such user", _CREDENTIALS),
    193: FatalCode("WRONG_PASSWORD", "Access: wrong password, older releases", _CREDENTIALS),
    194: FatalCode("REQUIRED_PASSWORD", "Access: a password is wanted, older releases", _CREDENTIALS),
    195: FatalCode(
        "IP_ADDRESS_NOT_ALLOWED",
        "Access/Authentication: not from this address",
        "Allow this machine in the networks of the user.",
    ),
    277: FatalCode(
        "INDEX_NOT_USED",
        "MergeTreeDataSelectExecutor: force_primary_key, force_data_skipping_indices and their like",
        "Remove the settings that force an index from the profile of this user.",
    ),
    306: FatalCode("TOO_DEEP_RECURSION", "Parsers/IParser: max_parser_depth", _LIMIT),
    307: FatalCode("TOO_MANY_BYTES", "QueryPipeline/SizeLimits: max_bytes_to_read and its like", _LIMIT),
    392: FatalCode(
        "QUERY_IS_PROHIBITED",
        "Access/ContextAccess: allow_ddl = 0 in the profile",
        "Workers and `portalpulse migrate` make tables: allow DDL for this user, or run them as another one.",
    ),
    396: FatalCode("TOO_MANY_ROWS_OR_BYTES", "QueryPipeline/SizeLimits: max_result_rows and its like", _LIMIT),
    452: FatalCode("SETTING_CONSTRAINT_VIOLATION", "Access/SettingsConstraints: the profile forbids a setting of ours", _PINNED),
    497: FatalCode(
        "ACCESS_DENIED",
        "Access/ContextAccess: a right is missing; the text names it",
        "A worker needs SELECT, INSERT, ALTER, CREATE and DROP on the database, a reader SELECT: grant what is missing.",
    ),
    565: FatalCode("TOO_MANY_PARTITIONS", "MergeTreeDataSelectExecutor: max_partitions_to_read", _LIMIT),
    516: FatalCode("AUTHENTICATION_FAILED", "Access/AccessControl: no such user, or a wrong password", _CREDENTIALS),
    774: FatalCode(
        "TABLE_IS_PERMANENTLY_READ_ONLY",
        "MergeTreeData: somebody set table_readonly",
        "ALTER TABLE .. RESET SETTING table_readonly, when whoever set it agrees.",
    ),
}
