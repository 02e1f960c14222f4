-- Operators' decisions to exclude a dossier from the figures, or to include it again. Rows are only added; the last one by
-- (decided_at, id) holds. Each decision is also a row of dossier_index, from which alone workers read it.
CREATE TABLE IF NOT EXISTS dossier_exclusions
(
    dossier_code String,
    dossier UInt128
        DEFAULT bitShiftLeft(toUInt128(toUInt32OrZero(reverse(substring(reverse(dossier_code), position(reverse(dossier_code), '-') + 1, 6)))), 96)
        + bitShiftRight(reinterpretAsUInt128(sipHash128(dossier_code)), 32),
    decided_at DateTime64(3, 'UTC') DEFAULT now64(3),
    id UUID,
    excluded Bool,
    reason String,
    name String
)
ENGINE = MergeTree
ORDER BY (dossier, decided_at, id);
