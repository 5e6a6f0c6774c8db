-- Volumes, and which snapshots are of them. See package metadb for the columns' forms.

-- +goose Up

CREATE TABLE volumes (
	id       TEXT PRIMARY KEY,
	account  TEXT NOT NULL,
	region   TEXT NOT NULL,
	zone     TEXT NOT NULL,
	settings TEXT NOT NULL,   -- JSON of volume.Settings
	modified TEXT NOT NULL,   -- JSON of volume.Modification; empty: never
	snapshot TEXT NOT NULL,   -- that it was made from; empty: none
	kms_key  TEXT NOT NULL,   -- empty: not encrypted
	hold     BIGINT NOT NULL, -- of the snapshot's root, which has no end; 0: an empty volume
	root     BIGINT NOT NULL, -- the hold's
	created  BIGINT NOT NULL,
	token    TEXT,            -- NULL: none
	digest   TEXT NOT NULL
);
CREATE INDEX volumes_by_account ON volumes (account, region, created, id);
CREATE UNIQUE INDEX volumes_by_token ON volumes (account, region, token);

ALTER TABLE snapshots ADD COLUMN volume TEXT NOT NULL DEFAULT ''; -- that it is of; empty: none that is known

-- +goose Down
ALTER TABLE snapshots DROP COLUMN volume;
DELETE FROM holds WHERE id IN (SELECT hold FROM volumes);
DELETE FROM tags WHERE resource IN (SELECT id FROM volumes);
DROP TABLE volumes;
