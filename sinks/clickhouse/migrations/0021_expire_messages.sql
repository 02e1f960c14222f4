-- What expired messages of finished dossiers count as: a row takes the place of a message in each tally. event: the hash by which every
-- message of the event is known and passed over, whether it is deleted yet or comes again. Rows are only added, each with the number
-- of the run that wrote it, and count when that run is in force (expiration_runs). number: of the message within its dossier.
-- weight: what the message adds to the version of a tally; it is more than any look at its dossier could have added.
CREATE TABLE IF NOT EXISTS expired_messages
(
    dossier UInt128 EPHEMERAL,
    event_id UUID EPHEMERAL,
    status UInt8 EPHEMERAL,
    agency LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    event FixedString(16)
        DEFAULT sipHash128(dossier, toUnixTimestamp64Milli(occurred_at), event_id, toString(agency), status)
        CODEC(NONE),
    number UInt32,
    procedure_code LowCardinality(String),
    counts_as UInt16,
    weight UInt32,
    generation UInt32
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (agency, occurred_at, event, number, generation);

-- The dossiers whose messages expired, and how many messages, level notes and decisions were known of each.
CREATE TABLE IF NOT EXISTS expired_dossiers
(
    dossier UInt128 CODEC(NONE),
    generation UInt32,
    seen UInt64,
    expired_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (dossier, generation);

-- Runs of the retention. One statement reads from here which runs are in force: those that were switched on, and were not given up
-- before. older_than: their dossiers had no message at this time or later.
CREATE TABLE IF NOT EXISTS expiration_runs
(
    generation UInt32,
    step Enum8('begun' = 1, 'void' = 2, 'switched' = 3, 'finished' = 4),
    run UUID,
    older_than DateTime64(3, 'UTC'),
    at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (generation, step, at);
