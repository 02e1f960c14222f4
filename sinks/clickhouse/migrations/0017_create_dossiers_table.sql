-- One row a dossier, judged: what figures with due dates, the balance and sub-units read. Only workers write it, from dossier_index.
-- The larger version replaces: generation * 2^40 + seen, where seen is the number of distinct messages and decisions that were known.
-- They only grow, so more is newer. judged_at: the server's time, read before the messages were read. 1970-01-01: none.
CREATE TABLE IF NOT EXISTS dossiers
(
    dossier UInt128 CODEC(NONE),
    dossier_code String,
    version UInt64,
    seen UInt64,
    judged_at DateTime64(3, 'UTC'),
    state Enum8('counts' = 0, 'excluded' = 1, 'too_many_events' = 2, 'no_messages' = 3),
    submitted_at DateTime64(3, 'UTC'),
    submitted_unit LowCardinality(String),
    submitted_procedure String,
    submitted_status UInt8,
    channel UInt8,
    legacy_level UInt8,
    settled_at DateTime64(3, 'UTC'),
    settled_unit LowCardinality(String),
    settled_procedure String,
    settled_full Bool,
    settled_full_any_return Bool,
    given_back_at DateTime64(3, 'UTC'),
    first_answer_at DateTime64(3, 'UTC'),
    due_at DateTime64(3, 'UTC'),
    times Array(DateTime64(3, 'UTC')),
    statuses Array(UInt8),
    dues Array(DateTime64(3, 'UTC'))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY dossier
SETTINGS index_granularity = 2048, min_parts_to_merge_at_once = 8;

-- Which dossiers got messages or decisions, and when. A dossier waits while it has a row here that is not older than its judged_at.
-- dossier_code is empty where only the number is known.
CREATE TABLE IF NOT EXISTS dossier_changes
(
    dossier_code String,
    dossier UInt128
        DEFAULT bitShiftLeft(toUInt128(toUInt32OrZero(reverse(substring(reverse(dossier_code), position(reverse(dossier_code), '-') + 1, 6)))), 96)
        + bitShiftRight(reinterpretAsUInt128(sipHash128(dossier_code)), 32)
        CODEC(NONE),
    noted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
PARTITION BY toStartOfTenMinutes(noted_at)
ORDER BY (dossier, noted_at)
SETTINGS min_parts_to_merge_at_once = 8;
