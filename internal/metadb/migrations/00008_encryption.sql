-- Whether an import's snapshot is to be encrypted and under which key, and the ids
-- of snapshots' data keys. See package metadb for the columns' forms.

-- +goose Up

ALTER TABLE tasks ADD COLUMN region TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN encrypted BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN kms_key TEXT NOT NULL DEFAULT ''; -- as given, an ARN once planned
ALTER TABLE snapshots ADD COLUMN data_key TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE snapshots DROP COLUMN data_key;
ALTER TABLE tasks DROP COLUMN kms_key;
ALTER TABLE tasks DROP COLUMN encrypted;
ALTER TABLE tasks DROP COLUMN region;
