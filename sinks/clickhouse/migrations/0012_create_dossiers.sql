-- Workers of the version before write dossier_events. They end when it is gone, and acknowledge nothing of what they then hold.
-- Its rows are copied by migration 0013.
RENAME TABLE IF EXISTS dossier_events TO dossier_events_before_0012;

-- The truth: one row per distinct message. All fields that rules read are part of the order, so that no message replaces another.
CREATE TABLE IF NOT EXISTS dossier_messages
(
    agency LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    event_id UUID,
    dossier_code String,
    procedure_code LowCardinality(String),
    status UInt8,
    channel UInt8,
    service_level Enum8('' = 0, 'cung_cap_thong_tin' = 1, 'mot_phan' = 2, 'toan_trinh' = 3),
    legacy_level UInt8,
    returned_by Enum8('' = 0, 'counter' = 1, 'online' = 2, 'post' = 3),
    due_at DateTime64(3, 'UTC'),
    named_by_code Bool,
    portal_id LowCardinality(String),
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
PRIMARY KEY (agency, occurred_at, event_id)
ORDER BY (agency, occurred_at, event_id, dossier_code, status, channel, service_level, returned_by, procedure_code, due_at, legacy_level)
SETTINGS min_parts_to_merge_at_once = 8;

ALTER TABLE agency_minute
    ADD COLUMN IF NOT EXISTS settled_full_any_return UInt64 AFTER settled_full, ADD COLUMN IF NOT EXISTS given_back UInt64 AFTER stopped;
ALTER TABLE agency_day
    ADD COLUMN IF NOT EXISTS settled_full_any_return UInt64 AFTER settled_full, ADD COLUMN IF NOT EXISTS given_back UInt64 AFTER stopped;
ALTER TABLE agency_day_procedure
    ADD COLUMN IF NOT EXISTS settled_full_any_return UInt64 AFTER settled_full, ADD COLUMN IF NOT EXISTS given_back UInt64 AFTER stopped;

-- Every message by dossier, and the claims of the writers, which are confirmed when the corrections
-- are stored and counted. Written after dossier_messages; a message that is not here yet counts
-- by itself. No partitions: all messages of a dossier are in one place. ``dossier``: 32 bits of the day in the code, which keep
-- dossiers of one time together, and 96 bits of a hash of the code.
CREATE TABLE IF NOT EXISTS dossier_index
(
    dossier_code String EPHEMERAL,
    dossier UInt128
        DEFAULT bitShiftLeft(toUInt128(toUInt32OrZero(reverse(substring(reverse(dossier_code), position(reverse(dossier_code), '-') + 1, 6)))), 96)
        + bitShiftRight(reinterpretAsUInt128(sipHash128(dossier_code)), 32)
        CODEC(NONE),
    occurred_at DateTime64(3, 'UTC'),
    event_id UUID CODEC(NONE),
    agency LowCardinality(String),
    procedure_code LowCardinality(String),
    due_at DateTime64(3, 'UTC'),
    facts UInt16,
    flags UInt8,
    claim UInt16 DEFAULT 0,
    confirmed Bool DEFAULT false
)
ENGINE = ReplacingMergeTree
ORDER BY (dossier, occurred_at, event_id, agency, procedure_code, due_at, facts, claim, confirmed)
SETTINGS index_granularity = 2048, min_parts_to_merge_at_once = 8;

-- What a message counts as more or less than by itself. Of two rows the one that saw more messages of the dossier is right.
CREATE TABLE IF NOT EXISTS dossier_corrections
(
    agency LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    event_id UUID,
    dossier UInt128,
    procedure_code LowCardinality(String),
    due_at DateTime64(3, 'UTC'),
    facts UInt16,
    plus UInt16,
    minus UInt16,
    seen UInt32,
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(seen)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (agency, occurred_at, event_id, dossier, procedure_code, due_at, facts);
