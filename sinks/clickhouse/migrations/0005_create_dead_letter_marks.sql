-- What became of a dead letter. A mark outlives the letter: a dropped letter stays dropped when its message comes again.
CREATE TABLE IF NOT EXISTS dead_letter_marks
(
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    state Enum8('replayed' = 1, 'dropped' = 2),
    reason LowCardinality(String),
    marked_at DateTime64(3, 'UTC') DEFAULT now64(3),
    precedence UInt8 DEFAULT toUInt8(state)
)
ENGINE = ReplacingMergeTree(precedence)
ORDER BY (topic, partition, offset);
