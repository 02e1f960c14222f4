-- The official name of an agency, and the day from which it is expected to report; NULL: it is not.
ALTER TABLE agencies
    ADD COLUMN IF NOT EXISTS official_name_vi String AFTER short_name_vi,
    ADD COLUMN IF NOT EXISTS reports_from Nullable(Date) AFTER successor_code;
