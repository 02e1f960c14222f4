-- The table of migration 0004 was never written. It has no legacy level, and a catalogue could not be replaced as a whole in it.
DROP TABLE IF EXISTS service_catalogue;

-- The entries of the service catalogue, as they were loaded. A load writes all entries of the agencies that it replaces under an id of
-- its own, and nobody reads them before the load is in catalogue_loads. Rows are only added.
CREATE TABLE IF NOT EXISTS catalogue_entries
(
    agency LowCardinality(String),
    load_id UUID,
    procedure_code String,
    valid_from Date,
    valid_to Nullable(Date),
    name String,
    service_level Enum8('' = 0, 'cung_cap_thong_tin' = 1, 'mot_phan' = 2, 'toan_trinh' = 3),
    legacy_level UInt8,
    eligible Nullable(Bool),
    longest_days Nullable(UInt16)
)
ENGINE = ReplacingMergeTree
ORDER BY (agency, load_id, procedure_code, valid_from);

-- Complete loads: a row for each agency of a load, with the number of its entries. The last one by (loaded_at, load_id) is the
-- catalogue of an agency. based_on: the load before it that the writer knew of, all zeros when there was none.
CREATE TABLE IF NOT EXISTS catalogue_loads
(
    agency LowCardinality(String),
    loaded_at DateTime64(3, 'UTC'),
    load_id UUID,
    based_on UUID,
    entries UInt32,
    source String
)
ENGINE = MergeTree
ORDER BY (agency, loaded_at, load_id);
