-- What the dead-letter limit had counted of a partition up to an offset. It depends on the messages below only, so that any
-- worker that begins behind this offset counts on from it. At most a row or two for each batch with dead letters.
CREATE TABLE IF NOT EXISTS dead_letter_checkpoints
(
    topic LowCardinality(String),
    partition Int32,
    offset Int64,
    run UInt64,
    messages Array(UInt64),
    refused Array(UInt64),
    written_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(written_at)
ORDER BY (topic, partition, offset);
-- What a person accepted: messages below this offset may be set aside without a limit.
CREATE TABLE IF NOT EXISTS dead_letter_acceptances
(
    topic LowCardinality(String),
    partition Int32,
    until Int64,
    accepted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (topic, partition, until);
