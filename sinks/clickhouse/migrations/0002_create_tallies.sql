-- Recounted tallies. version = epoch * 2^40 + distinct events counted: the recount that saw more wins, also when another one writes last.
CREATE TABLE IF NOT EXISTS agency_minute
(
    agency LowCardinality(String),
    minute DateTime('UTC'),
    events UInt64,
    submitted UInt64,
    submitted_online UInt64,
    settled UInt64,
    settled_full UInt64,
    refused UInt64,
    withdrawn UInt64,
    stopped UInt64,
    last_event_at DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(minute)
ORDER BY (agency, minute);

-- Civil days of Asia/Ho_Chi_Minh.
CREATE TABLE IF NOT EXISTS agency_day
(
    agency LowCardinality(String),
    day Date,
    events UInt64,
    submitted UInt64,
    submitted_online UInt64,
    settled UInt64,
    settled_full UInt64,
    refused UInt64,
    withdrawn UInt64,
    stopped UInt64,
    last_event_at DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(day)
ORDER BY (agency, day);

CREATE TABLE IF NOT EXISTS agency_day_procedure
(
    agency LowCardinality(String),
    day Date,
    procedure_code LowCardinality(String),
    events UInt64,
    submitted UInt64,
    submitted_online UInt64,
    settled UInt64,
    settled_full UInt64,
    refused UInt64,
    withdrawn UInt64,
    stopped UInt64,
    last_event_at DateTime64(3, 'UTC'),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY (agency, day, procedure_code);

CREATE TABLE IF NOT EXISTS tally_epochs
(
    epoch UInt32,
    raised_at DateTime64(3, 'UTC') DEFAULT now64(3),
    reason String
)
ENGINE = MergeTree
ORDER BY epoch;
