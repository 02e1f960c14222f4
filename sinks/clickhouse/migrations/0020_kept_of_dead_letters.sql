-- A dead letter keeps the known fields of a message that parses. The bytes of any other are kept for some days and then removed:
-- key and value are empty from then on. Rows of earlier releases hold the message as it was received.
ALTER TABLE dead_letters
    ADD COLUMN IF NOT EXISTS kept Enum8('message' = 0, 'fields' = 1, 'removed' = 2) DEFAULT 'message',
    ADD COLUMN IF NOT EXISTS removed_at DateTime64(3, 'UTC') DEFAULT toDateTime64(0, 3, 'UTC');
