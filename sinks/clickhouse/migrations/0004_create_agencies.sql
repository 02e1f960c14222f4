-- The registry, for boards and ad hoc queries; the pipeline itself reads its own copy.
CREATE TABLE IF NOT EXISTS agencies
(
    code LowCardinality(String),
    valid_from Date,
    valid_to Nullable(Date),
    block LowCardinality(String),
    name_vi String,
    name_en String,
    short_name_vi String,
    successor_code LowCardinality(String),
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (code, valid_from);

-- Procedures that agencies offer, with their level: the denominators of the supply indicators.
CREATE TABLE IF NOT EXISTS service_catalogue
(
    agency LowCardinality(String),
    procedure_code LowCardinality(String),
    valid_from Date,
    valid_to Nullable(Date),
    service_level Enum8('toan_trinh' = 1, 'mot_phan' = 2, 'cung_cap_thong_tin' = 3),
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (agency, procedure_code, valid_from);
