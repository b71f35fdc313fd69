-- oldest: 4

-- When the rotation worker is to look at a secret; NULL for never. The index
-- holds those alone, so that a round costs what is due, whoever it belongs to.
ALTER TABLE secrets ADD COLUMN work_at INTEGER;

CREATE INDEX secrets_work ON secrets (work_at) WHERE work_at IS NOT NULL AND deletion IS NULL;
