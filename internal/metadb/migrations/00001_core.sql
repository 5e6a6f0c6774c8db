-- Times are microseconds since 1970 UTC, 0 for none. See package metadb.

-- +goose Up

-- Service-wide values: keys that all nodes share.
CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value BYTEA NOT NULL
);

-- Counters, such as the passes of gc.
CREATE TABLE counters (
	name  TEXT PRIMARY KEY,
	value BIGINT NOT NULL
);

-- A row to lock while an account's limits are checked.
CREATE TABLE account_locks (
	account TEXT PRIMARY KEY
);

CREATE TABLE tasks (
	id               TEXT PRIMARY KEY,
	account          TEXT NOT NULL,
	token            TEXT, -- NULL: none
	digest           TEXT NOT NULL,
	description      TEXT NOT NULL,
	disk_description TEXT NOT NULL,
	format           TEXT NOT NULL,
	role_name        TEXT NOT NULL,
	bucket           TEXT NOT NULL,
	object_key       TEXT NOT NULL,
	sealed_url       BYTEA,
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
	UNIQUE (account, token)
);
CREATE INDEX tasks_by_account ON tasks (account, created);
CREATE INDEX tasks_by_end ON tasks (ended);

-- Units of work. (id, owner, attempt) is the fence of a lease; owner is empty
-- while nobody holds one. Periodic duties have no task.
CREATE TABLE units (
	id          BIGINT PRIMARY KEY,
	account     TEXT NOT NULL,
	kind        TEXT NOT NULL,
	task        TEXT NOT NULL,
	range_index BIGINT NOT NULL,
	owner       TEXT NOT NULL,
	attempt     BIGINT NOT NULL,
	lease_until BIGINT NOT NULL,
	not_before  BIGINT NOT NULL DEFAULT 0,
	created     BIGINT NOT NULL,
	progress    BYTEA, -- the live counts of the attempt
	UNIQUE (task, kind, range_index)
);

CREATE TABLE domains (
	id      TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	kms_key TEXT NOT NULL,
	wrapped BYTEA NOT NULL,
	UNIQUE (account, kms_key)
);

-- Files of the store. An open one belongs to (unit, attempt).
CREATE TABLE files (
	id      BIGINT PRIMARY KEY,
	kind    TEXT NOT NULL,
	domain  TEXT NOT NULL,
	state   TEXT NOT NULL, -- open, sealed
	unit    BIGINT NOT NULL,
	attempt BIGINT NOT NULL,
	bytes   BIGINT NOT NULL,
	created BIGINT NOT NULL
);

-- condemned is the gc pass that found no reference to the row, or 0; mark is the
-- last pass that found one.
CREATE TABLE blocks (
	id        BYTEA PRIMARY KEY,
	file      BIGINT NOT NULL,
	slot      BIGINT NOT NULL,
	condemned BIGINT NOT NULL DEFAULT 0,
	mark      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX blocks_by_file ON blocks (file);
CREATE INDEX blocks_condemned ON blocks (condemned) WHERE condemned <> 0;

CREATE TABLE pages (
	id        BYTEA PRIMARY KEY,
	file      BIGINT NOT NULL,
	off       BIGINT NOT NULL,
	len       BIGINT NOT NULL,
	blocks    BIGINT NOT NULL,
	condemned BIGINT NOT NULL DEFAULT 0,
	mark      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX pages_by_file ON pages (file);
CREATE INDEX pages_condemned ON pages (condemned) WHERE condemned <> 0;

-- The pages that finished ranges of a pending snapshot registered.
CREATE TABLE draft_pages (
	snapshot TEXT NOT NULL,
	page     BIGINT NOT NULL,
	page_id  BYTEA NOT NULL,
	blocks   BIGINT NOT NULL,
	PRIMARY KEY (snapshot, page)
);

CREATE TABLE snapshots (
	id            TEXT PRIMARY KEY,
	account       TEXT NOT NULL,
	domain        TEXT NOT NULL,
	task          TEXT NOT NULL,
	description   TEXT NOT NULL,
	state         TEXT NOT NULL,
	volume_gib    BIGINT NOT NULL,
	virtual_bytes BIGINT NOT NULL,
	progress      BIGINT NOT NULL,
	started       BIGINT NOT NULL,
	completed     BIGINT NOT NULL,
	root          BIGINT NOT NULL, -- a root file; 0 until completed
	blocks        BIGINT NOT NULL,
	stored        BIGINT NOT NULL
);
CREATE INDEX snapshots_by_account ON snapshots (account, started);
CREATE INDEX snapshots_by_root ON snapshots (root);

-- Tags of tasks and snapshots.
CREATE TABLE tags (
	resource TEXT NOT NULL,
	name     TEXT NOT NULL,
	value    TEXT NOT NULL,
	account  TEXT NOT NULL,
	PRIMARY KEY (resource, name)
);
CREATE INDEX tags_by_account ON tags (account);

-- +goose Down
DROP TABLE tags;
DROP TABLE snapshots;
DROP TABLE draft_pages;
DROP TABLE pages;
DROP TABLE blocks;
DROP TABLE files;
DROP TABLE domains;
DROP TABLE units;
DROP TABLE tasks;
DROP TABLE account_locks;
DROP TABLE counters;
DROP TABLE meta;
