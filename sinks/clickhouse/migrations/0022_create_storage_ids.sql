-- Which storage this is. Workers write it beside the offsets that they commit, so that a group never goes on with another storage, which
-- would lack what was acknowledged before. Several workers that migrate at once may each add a row: all of them are this storage.
CREATE TABLE IF NOT EXISTS storage_ids
(
    id UUID,
    created_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY id;

INSERT INTO storage_ids (id) SELECT generateUUIDv4() WHERE (SELECT count() FROM storage_ids) = 0;
