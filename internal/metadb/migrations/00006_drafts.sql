-- Snapshots that clients write or copy, whom snapshots are shared with, images,
-- and an account's settings. See package metadb for the columns' forms.

-- +goose Up

ALTER TABLE snapshots ADD COLUMN token TEXT; -- NULL: none
ALTER TABLE snapshots ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN parent TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN lineage TEXT NOT NULL DEFAULT ''; -- empty: its own id
ALTER TABLE snapshots ADD COLUMN message TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN tier TEXT NOT NULL DEFAULT 'standard';
ALTER TABLE snapshots ADD COLUMN tier_since BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX snapshots_by_token ON snapshots (account, token);

-- Snapshots that are pending without an import task. base is a root file that the
-- draft holds, or 0; want_blocks is -1 when the writer did not say.
CREATE TABLE drafts (
	snapshot      TEXT PRIMARY KEY,
	base          BIGINT NOT NULL,
	timeout       BIGINT NOT NULL, -- microseconds; 0: none, it is a copy
	touched       BIGINT NOT NULL,
	complete      BIGINT NOT NULL,
	want_blocks   BIGINT NOT NULL,
	want_checksum BYTEA
);
CREATE INDEX drafts_by_base ON drafts (base);

-- The blocks that appends committed to drafts: registered as pages of ranges are.
CREATE TABLE draft_blocks (
	snapshot  TEXT NOT NULL,
	block     BIGINT NOT NULL, -- index
	block_id  BYTEA NOT NULL,
	digest    BYTEA NOT NULL,
	inherited BIGINT NOT NULL,
	PRIMARY KEY (snapshot, block)
);

-- grantee is an account or "all".
CREATE TABLE snapshot_shares (
	snapshot TEXT NOT NULL,
	grantee  TEXT NOT NULL,
	PRIMARY KEY (snapshot, grantee)
);
CREATE INDEX snapshot_shares_by_grantee ON snapshot_shares (grantee);

-- +goose Down
DROP TABLE snapshot_shares;
DROP TABLE draft_blocks;
DROP TABLE drafts;
DROP INDEX snapshots_by_token;
ALTER TABLE snapshots DROP COLUMN tier_since;
ALTER TABLE snapshots DROP COLUMN tier;
ALTER TABLE snapshots DROP COLUMN message;
ALTER TABLE snapshots DROP COLUMN lineage;
ALTER TABLE snapshots DROP COLUMN parent;
ALTER TABLE snapshots DROP COLUMN digest;
ALTER TABLE snapshots DROP COLUMN token;
