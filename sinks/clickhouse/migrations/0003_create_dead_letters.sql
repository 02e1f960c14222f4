-- Messages that are no event, whole. Redelivery writes the same key again; the earliest sighting stays.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    key String,
    value String,
    has_value Bool,
    reason LowCardinality(String),
    error String,
    first_seen DateTime64(3, 'UTC') DEFAULT now64(3),
    precedence UInt64 DEFAULT bitNot(toUInt64(toUnixTimestamp64Milli(first_seen)))
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (topic, partition, offset);
