-- Offsets that left the log before a worker read them, written before any later offset of the partition is acknowledged.
CREATE TABLE IF NOT EXISTS unread_offsets
(
    topic LowCardinality(String),
    partition Int32,
    first_offset Int64,
    end_offset Int64,
    consumer_group String,
    cause Enum8('deleted' = 1, 'truncated' = 2, 'recreated' = 3),
    noticed_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (topic, partition, first_offset);
