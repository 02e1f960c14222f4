-- Which shard of how many the rows of this database are. A single server is the only one. A process that is told of other shards than
-- these would look for dossiers where they are not, so it refuses to start.
CREATE TABLE IF NOT EXISTS shard_position
(
    number UInt16,
    shards UInt16,
    written_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (number, shards);
