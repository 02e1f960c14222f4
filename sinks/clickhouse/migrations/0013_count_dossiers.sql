-- The messages that were stored before dossiers were counted are copied, indexed and counted by ``pipeline.wiring.recount_dossiers``,
-- before this migration is recorded. Months that are done:
CREATE TABLE IF NOT EXISTS copied_months
(
    month UInt32,
    messages UInt64,
    copied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY month;
