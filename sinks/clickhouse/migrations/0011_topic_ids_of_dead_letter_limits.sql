-- Offsets of a topic that was deleted and created again mean other messages, so what the dead-letter limit keeps belongs to a topic
-- id. Rows without one are older than this column and hold for any topic of the name.
ALTER TABLE dead_letter_checkpoints ADD COLUMN IF NOT EXISTS topic_id String;
ALTER TABLE dead_letter_acceptances ADD COLUMN IF NOT EXISTS topic_id String;
