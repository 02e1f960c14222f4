-- The truth: one row per distinct event. The key identifies an event, so a repeat replaces itself.
CREATE TABLE IF NOT EXISTS dossier_events
(
    agency LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    event_id UUID,
    dossier_code String,
    procedure_code LowCardinality(String),
    status UInt8,
    channel UInt8,
    service_level Enum8('toan_trinh' = 1, 'mot_phan' = 2, 'cung_cap_thong_tin' = 3),
    legacy_level UInt8,
    returned_by Enum8('' = 0, 'online' = 1, 'post' = 2, 'counter' = 3),
    portal_id LowCardinality(String),
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (agency, occurred_at, event_id);
