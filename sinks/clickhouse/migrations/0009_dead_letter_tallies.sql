-- How many messages were set aside, by chunk of 65,536 offsets of a partition: recounted whenever a letter of the chunk is
-- written. Positions only ever grow in number (a dropped letter keeps its mark), so that number is the version.
CREATE TABLE IF NOT EXISTS dead_letter_tallies
(
    topic LowCardinality(String),
    partition Int32,
    chunk Int64,
    letters UInt64,
    reasons Map(LowCardinality(String), UInt64)
)
ENGINE = ReplacingMergeTree(letters)
ORDER BY (topic, partition, chunk);

-- What was set aside lately is found without reading what was set aside long ago.
ALTER TABLE dead_letters ADD INDEX IF NOT EXISTS dead_letters_first_seen first_seen TYPE minmax GRANULARITY 1;
ALTER TABLE dead_letters MATERIALIZE INDEX dead_letters_first_seen;

-- What is there already; the same statement as in sinks/clickhouse/dead_letter_tallies.py, for every chunk.
INSERT INTO dead_letter_tallies (topic, partition, chunk, letters, reasons)
SELECT topic, partition, intDiv(offset, 65536) AS chunk, count(), sumMap(map(reason, toUInt64(1)))
FROM
(
    SELECT topic, partition, offset, reason FROM dead_letter_marks FINAL WHERE state = 'dropped'
    UNION ALL
    SELECT topic, partition, offset, reason FROM dead_letters FINAL
    WHERE (topic, partition, offset) NOT IN (SELECT topic, partition, offset FROM dead_letter_marks WHERE state = 'dropped')
)
GROUP BY topic, partition, chunk;
