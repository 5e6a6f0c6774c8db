-- The embedded S3: buckets, objects and their versions, uploads, pins, and the pieces
-- that their bytes lie in. See package objects for what they mean and package metadb
-- for the columns' forms. Keys are bytes, since they are ordered by them.

-- +goose Up

CREATE TABLE s3_buckets (
	id         BIGINT PRIMARY KEY, -- a bucket that is made again is another one
	name       TEXT NOT NULL UNIQUE,
	account    TEXT NOT NULL,
	region     TEXT NOT NULL,
	versioning TEXT NOT NULL,
	created    BIGINT NOT NULL
);
CREATE INDEX s3_buckets_by_account ON s3_buckets (account, name);

CREATE TABLE s3_settings (
	bucket   BIGINT NOT NULL REFERENCES s3_buckets (id),
	name     TEXT NOT NULL,
	document BYTEA NOT NULL,
	PRIMARY KEY (bucket, name)
);

CREATE TABLE s3_objects (
	bucket   BIGINT NOT NULL REFERENCES s3_buckets (id),
	key      BYTEA NOT NULL,
	place    BIGINT NOT NULL, -- among the versions of the key: the newer, the smaller
	version  TEXT NOT NULL,
	latest   BIGINT NOT NULL,
	marker   BIGINT NOT NULL, -- a delete marker
	content  BIGINT NOT NULL, -- 0: of a delete marker
	size     BIGINT NOT NULL,
	etag     TEXT NOT NULL,
	modified BIGINT NOT NULL,
	checksum TEXT NOT NULL, -- algorithm, type and value; empty: none
	parts    BIGINT NOT NULL,
	metadata TEXT NOT NULL, -- JSON of objects.Metadata
	tags     TEXT NOT NULL, -- JSON of tag.Set
	PRIMARY KEY (bucket, key, place)
);
CREATE UNIQUE INDEX s3_objects_latest ON s3_objects (bucket, key) WHERE latest = 1;
CREATE UNIQUE INDEX s3_objects_null ON s3_objects (bucket, key) WHERE version = 'null' AND latest = 0;

CREATE TABLE s3_contents (
	id         BIGINT PRIMARY KEY,
	account    TEXT NOT NULL,
	size       BIGINT NOT NULL,
	refs       BIGINT NOT NULL, -- how many objects, parts and pins name it
	encryption TEXT NOT NULL -- JSON of objects.Encryption
);

CREATE TABLE s3_extents (
	content BIGINT NOT NULL,
	n       BIGINT NOT NULL, -- their order
	piece   BIGINT NOT NULL,
	skip    BIGINT NOT NULL,
	len     BIGINT NOT NULL,
	PRIMARY KEY (content, n)
);
CREATE INDEX s3_extents_by_piece ON s3_extents (piece);

CREATE TABLE s3_content_parts (
	content  BIGINT NOT NULL,
	number   BIGINT NOT NULL,
	start    BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	checksum TEXT NOT NULL,
	PRIMARY KEY (content, number)
);

CREATE TABLE s3_pieces (
	id        BIGINT PRIMARY KEY,
	writer    BIGINT NOT NULL, -- that has it open; 0: none
	size      BIGINT NOT NULL,
	refs      BIGINT NOT NULL, -- how many extents name it
	condemned BIGINT NOT NULL
);
CREATE INDEX s3_pieces_unnamed ON s3_pieces (id) WHERE refs = 0;

CREATE TABLE s3_uploads (
	id        TEXT PRIMARY KEY, -- later ones are greater
	bucket    BIGINT NOT NULL REFERENCES s3_buckets (id),
	key       BYTEA NOT NULL,
	initiator TEXT NOT NULL,
	created   BIGINT NOT NULL,
	body      TEXT NOT NULL -- JSON of uploadParts
);
CREATE INDEX s3_uploads_by_key ON s3_uploads (bucket, key, id);

CREATE TABLE s3_parts (
	upload   TEXT NOT NULL,
	number   BIGINT NOT NULL,
	content  BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	etag     TEXT NOT NULL,
	modified BIGINT NOT NULL,
	checksum TEXT NOT NULL,
	PRIMARY KEY (upload, number)
);
CREATE INDEX s3_parts_by_content ON s3_parts (content);

CREATE TABLE s3_completions (
	upload  TEXT PRIMARY KEY,
	bucket  BIGINT NOT NULL,
	key     BYTEA NOT NULL,
	request TEXT NOT NULL, -- hash of the parts that it named
	object  TEXT NOT NULL, -- JSON of completedObject
	ended   BIGINT NOT NULL
);
CREATE INDEX s3_completions_by_end ON s3_completions (ended);

CREATE TABLE s3_pins (
	id       TEXT PRIMARY KEY,
	content  BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	etag     TEXT NOT NULL,
	version  TEXT NOT NULL,
	modified BIGINT NOT NULL
);

CREATE TABLE s3_usage (
	account TEXT PRIMARY KEY,
	bytes   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE s3_usage;
DROP TABLE s3_pins;
DROP TABLE s3_completions;
DROP TABLE s3_parts;
DROP TABLE s3_uploads;
DROP TABLE s3_pieces;
DROP TABLE s3_content_parts;
DROP TABLE s3_extents;
DROP TABLE s3_contents;
DROP TABLE s3_objects;
DROP TABLE s3_settings;
DROP TABLE s3_buckets;
