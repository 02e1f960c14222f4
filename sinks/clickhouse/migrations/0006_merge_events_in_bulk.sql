-- A flood writes many parts of like size; merging eight or more at once writes each row less often.
ALTER TABLE dossier_events MODIFY SETTING min_parts_to_merge_at_once = 8;
