-- After a topic is recreated or truncated, another message has the offset of an older one. A dead letter is therefore identified
-- by its position and the hash of its content. A mark with the hash 0 is older than this and holds for any message at its offset.
-- Every statement can be applied again, and workers of the version before may write at the same time: a row is deleted only when
-- its copy with a hash is there.
ALTER TABLE dead_letters
    ADD COLUMN IF NOT EXISTS content_hash UInt64 AFTER offset,
    MODIFY ORDER BY (topic, partition, offset, content_hash);
ALTER TABLE dead_letter_marks
    ADD COLUMN IF NOT EXISTS content_hash UInt64 AFTER offset,
    MODIFY ORDER BY (topic, partition, offset, content_hash);

-- Rows that are there already are written again with their hash: the same number as DeadLetter.content_hash in
-- sinks/contract/dead_letters.py. This comes before the default, which would make the hash of these rows differ within a part
-- that is not sorted by it.
INSERT INTO dead_letters (topic, partition, offset, content_hash, key, value, has_value, reason, error, first_seen)
SELECT topic, partition, offset,
    greatest(1, reinterpretAsUInt64(substring(SHA256(concat(if(has_value, '1', '0'), toString(length(key)), ':', key, value)), 1, 8))),
    key, value, has_value, reason, error, first_seen
FROM dead_letters FINAL WHERE content_hash = 0;
DELETE FROM dead_letters WHERE content_hash = 0 AND (topic, partition, offset,
    greatest(1, reinterpretAsUInt64(substring(SHA256(concat(if(has_value, '1', '0'), toString(length(key)), ':', key, value)), 1, 8))))
    IN (SELECT topic, partition, offset, content_hash FROM dead_letters WHERE content_hash != 0);

-- Workers of the version before write no hash. What they wrote since the statements above is written again, too.
ALTER TABLE dead_letters
    MODIFY COLUMN content_hash UInt64
    DEFAULT greatest(1, reinterpretAsUInt64(substring(SHA256(concat(if(has_value, '1', '0'), toString(length(key)), ':', key, value)), 1, 8)));
INSERT INTO dead_letters (topic, partition, offset, key, value, has_value, reason, error, first_seen)
SELECT topic, partition, offset, key, value, has_value, reason, error, first_seen FROM dead_letters FINAL WHERE content_hash = 0;
DELETE FROM dead_letters WHERE content_hash = 0 AND (topic, partition, offset,
    greatest(1, reinterpretAsUInt64(substring(SHA256(concat(if(has_value, '1', '0'), toString(length(key)), ':', key, value)), 1, 8))))
    IN (SELECT topic, partition, offset, content_hash FROM dead_letters WHERE content_hash != 0);
