-- Tasks, snapshots and images are seen in the region that they were made in, and
-- names and client tokens are unique there. The next migration says which region the
-- rows that exist are in. See package metadb for the columns' forms.

-- +goose Up

ALTER TABLE snapshots ADD COLUMN region TEXT NOT NULL DEFAULT '';
DROP INDEX snapshots_by_token;
CREATE UNIQUE INDEX snapshots_by_token ON snapshots (account, region, token);
DROP INDEX snapshots_by_account;
CREATE INDEX snapshots_by_account ON snapshots (account, region, started, id);
DROP INDEX snapshots_by_state;
CREATE INDEX snapshots_by_state ON snapshots (account, region, state, started, id);
DROP INDEX snapshots_by_description;
CREATE INDEX snapshots_by_description ON snapshots (account, region, description, started, id);

-- The snapshot's, which never changes, as started.
ALTER TABLE snapshot_shares ADD COLUMN region TEXT NOT NULL DEFAULT '';
DROP INDEX snapshot_shares_by_grantee;
CREATE INDEX snapshot_shares_by_grantee ON snapshot_shares (grantee, region, started, snapshot);

-- The resource's.
ALTER TABLE tags ADD COLUMN region TEXT NOT NULL DEFAULT '';
DROP INDEX tags_by_account;
CREATE INDEX tags_by_account ON tags (account, region, resource, name);
DROP INDEX tags_by_value;
CREATE INDEX tags_by_value ON tags (account, region, name, value, resource);

ALTER TABLE outbox ADD COLUMN region TEXT NOT NULL DEFAULT '';

-- What was unique in an account is unique in one of its regions. SQLite can't drop a
-- constraint, so these tables are made anew.
CREATE TABLE images_by_region (
	id      TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	region  TEXT NOT NULL,
	name    TEXT NOT NULL,
	body    TEXT NOT NULL, -- JSON of image.Image
	created BIGINT NOT NULL,
	UNIQUE (account, region, name)
);
INSERT INTO images_by_region (id, account, region, name, body, created)
SELECT id, account, '', name, body, created FROM images;
DROP TABLE images;
ALTER TABLE images_by_region RENAME TO images;
CREATE INDEX images_by_account ON images (account, region, created, id);

CREATE TABLE tasks_by_region (
	id               TEXT PRIMARY KEY,
	account          TEXT NOT NULL,
	region           TEXT NOT NULL,
	token            TEXT, -- NULL: none
	digest           TEXT NOT NULL,
	description      TEXT NOT NULL,
	disk_description TEXT NOT NULL,
	format           TEXT NOT NULL,
	role_name        TEXT NOT NULL,
	bucket           TEXT NOT NULL,
	object_key       TEXT NOT NULL,
	wrapped_url      BYTEA,
	pin              TEXT NOT NULL,
	source_bytes     BIGINT NOT NULL,
	state            TEXT NOT NULL,
	phase            TEXT NOT NULL,
	failure          TEXT NOT NULL, -- JSON of importtask.Failure
	snapshot         TEXT NOT NULL,
	ranges           TEXT NOT NULL, -- JSON of []importtask.Range
	ranges_left      BIGINT NOT NULL,
	counts           TEXT NOT NULL, -- JSON of importtask.Counts, finished ranges only
	virtual_bytes    BIGINT NOT NULL,
	warnings         TEXT NOT NULL, -- JSON of []string
	created          BIGINT NOT NULL,
	started          BIGINT NOT NULL,
	ended            BIGINT NOT NULL,
	snapshot_tags    TEXT NOT NULL, -- JSON of tag.Set
	encrypted        BIGINT NOT NULL,
	kms_key          TEXT NOT NULL, -- as given, an ARN once planned
	UNIQUE (account, region, token)
);
INSERT INTO tasks_by_region (id, account, region, token, digest, description, disk_description, format, role_name, bucket, object_key,
	wrapped_url, pin, source_bytes, state, phase, failure, snapshot, ranges, ranges_left, counts, virtual_bytes, warnings,
	created, started, ended, snapshot_tags, encrypted, kms_key)
SELECT id, account, region, token, digest, description, disk_description, format, role_name, bucket, object_key,
	wrapped_url, pin, source_bytes, state, phase, failure, snapshot, ranges, ranges_left, counts, virtual_bytes, warnings,
	created, started, ended, snapshot_tags, encrypted, kms_key FROM tasks;
DROP TABLE tasks;
ALTER TABLE tasks_by_region RENAME TO tasks;
CREATE INDEX tasks_by_account ON tasks (account, region, created, id);
CREATE INDEX tasks_by_state ON tasks (account, region, state, created, id);
CREATE INDEX tasks_by_end ON tasks (ended, id);

-- +goose Down

-- Of what has one name or token in two regions, one is left: the names of the other
-- images get their ids added.
CREATE TABLE images_of_account (
	id      TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	name    TEXT NOT NULL,
	body    TEXT NOT NULL,
	created BIGINT NOT NULL,
	UNIQUE (account, name)
);
INSERT INTO images_of_account (id, account, name, body, created)
SELECT i.id, i.account, CASE WHEN EXISTS (
	SELECT 1 FROM images o WHERE o.account = i.account AND o.name = i.name AND o.id < i.id) THEN i.name || ' ' || i.id ELSE i.name END,
	i.body, i.created FROM images i;
DROP TABLE images;
ALTER TABLE images_of_account RENAME TO images;
CREATE INDEX images_by_account ON images (account, created, id);

CREATE TABLE tasks_of_account (
	id               TEXT PRIMARY KEY,
	account          TEXT NOT NULL,
	token            TEXT,
	digest           TEXT NOT NULL,
	description      TEXT NOT NULL,
	disk_description TEXT NOT NULL,
	format           TEXT NOT NULL,
	role_name        TEXT NOT NULL,
	bucket           TEXT NOT NULL,
	object_key       TEXT NOT NULL,
	wrapped_url      BYTEA,
	pin              TEXT NOT NULL,
	source_bytes     BIGINT NOT NULL,
	state            TEXT NOT NULL,
	phase            TEXT NOT NULL,
	failure          TEXT NOT NULL,
	snapshot         TEXT NOT NULL,
	ranges           TEXT NOT NULL,
	ranges_left      BIGINT NOT NULL,
	counts           TEXT NOT NULL,
	virtual_bytes    BIGINT NOT NULL,
	warnings         TEXT NOT NULL,
	created          BIGINT NOT NULL,
	started          BIGINT NOT NULL,
	ended            BIGINT NOT NULL,
	snapshot_tags    TEXT NOT NULL DEFAULT '[]',
	region           TEXT NOT NULL DEFAULT '',
	encrypted        BIGINT NOT NULL DEFAULT 0,
	kms_key          TEXT NOT NULL DEFAULT '',
	UNIQUE (account, token)
);
UPDATE tasks SET token = NULL WHERE EXISTS (
	SELECT 1 FROM tasks o WHERE o.account = tasks.account AND o.token = tasks.token AND o.id < tasks.id);
INSERT INTO tasks_of_account (id, account, region, token, digest, description, disk_description, format, role_name, bucket, object_key,
	wrapped_url, pin, source_bytes, state, phase, failure, snapshot, ranges, ranges_left, counts, virtual_bytes, warnings,
	created, started, ended, snapshot_tags, encrypted, kms_key)
SELECT id, account, region, token, digest, description, disk_description, format, role_name, bucket, object_key,
	wrapped_url, pin, source_bytes, state, phase, failure, snapshot, ranges, ranges_left, counts, virtual_bytes, warnings,
	created, started, ended, snapshot_tags, encrypted, kms_key FROM tasks;
DROP TABLE tasks;
ALTER TABLE tasks_of_account RENAME TO tasks;
CREATE INDEX tasks_by_account ON tasks (account, created, id);
CREATE INDEX tasks_by_state ON tasks (account, state, created, id);
CREATE INDEX tasks_by_end ON tasks (ended, id);

ALTER TABLE outbox DROP COLUMN region;

DROP INDEX tags_by_value;
CREATE INDEX tags_by_value ON tags (account, name, value, resource);
DROP INDEX tags_by_account;
CREATE INDEX tags_by_account ON tags (account, resource, name);
ALTER TABLE tags DROP COLUMN region;

DROP INDEX snapshot_shares_by_grantee;
CREATE INDEX snapshot_shares_by_grantee ON snapshot_shares (grantee, started, snapshot);
ALTER TABLE snapshot_shares DROP COLUMN region;

UPDATE snapshots SET token = NULL WHERE EXISTS (
	SELECT 1 FROM snapshots o WHERE o.account = snapshots.account AND o.token = snapshots.token AND o.id < snapshots.id);
DROP INDEX snapshots_by_description;
CREATE INDEX snapshots_by_description ON snapshots (account, description, started, id);
DROP INDEX snapshots_by_state;
CREATE INDEX snapshots_by_state ON snapshots (account, state, started, id);
DROP INDEX snapshots_by_account;
CREATE INDEX snapshots_by_account ON snapshots (account, started, id);
DROP INDEX snapshots_by_token;
CREATE UNIQUE INDEX snapshots_by_token ON snapshots (account, token);
ALTER TABLE snapshots DROP COLUMN region;
