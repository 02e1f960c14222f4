-- Loads of the catalogue after which all stored dossiers of an agency were counted again. Rows are only added.
CREATE TABLE IF NOT EXISTS catalogue_recounts
(
    agency LowCardinality(String),
    load_id UUID,
    recounted_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (agency, load_id);
