-- What may be garbage, so that gc looks at that alone; holds; damaged blocks. See
-- package gc.

-- +goose Up

-- What the events let go. taken is the last pass of gc that looked at it, 0 when it
-- was let go since. A root that was let go is a file; expanded says that the pages
-- under it are candidates now.
CREATE TABLE page_candidates (
	id    BYTEA PRIMARY KEY,
	taken BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE block_candidates (
	id    BYTEA PRIMARY KEY,
	taken BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE file_candidates (
	file     BIGINT PRIMARY KEY,
	taken    BIGINT NOT NULL DEFAULT 0,
	expanded BIGINT NOT NULL DEFAULT 0
);

-- A row that keeps a root alive until a time.
CREATE TABLE holds (
	id    BIGINT PRIMARY KEY,
	root  BIGINT NOT NULL,
	until BIGINT NOT NULL,
	why   TEXT NOT NULL
);
CREATE INDEX holds_by_root ON holds (root);

-- entries is how many blocks or pages a closed file was written with, 1 for a root;
-- dead is how many of them were let go. A closed file is garbage once all are.
ALTER TABLE files ADD COLUMN entries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE files ADD COLUMN dead BIGINT NOT NULL DEFAULT 0;
CREATE INDEX files_open ON files (id) WHERE state = 'open';
CREATE INDEX files_roots ON files (id) WHERE kind = 'root';

UPDATE files SET entries = (SELECT COUNT(*) FROM blocks b WHERE b.file = files.id) + (SELECT COUNT(*) FROM pages p WHERE p.file = files.id)
WHERE state = 'closed';
UPDATE files SET entries = 1 WHERE state = 'closed' AND kind = 'root';
UPDATE files SET dead = 1 WHERE state = 'closed' AND kind = 'root' AND NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.root = files.id);

-- What was let go before is not known any more: everything is looked at once.
INSERT INTO page_candidates (id) SELECT id FROM pages;
INSERT INTO block_candidates (id) SELECT id FROM blocks;
INSERT INTO file_candidates (file) SELECT id FROM files WHERE state = 'closed';

ALTER TABLE blocks DROP COLUMN mark;
ALTER TABLE pages DROP COLUMN mark;

-- damaged is when a read found the block damaged, or 0.
ALTER TABLE blocks ADD COLUMN damaged BIGINT NOT NULL DEFAULT 0;
CREATE INDEX blocks_damaged ON blocks (id) WHERE damaged <> 0;

-- +goose Down
DROP INDEX blocks_damaged;
ALTER TABLE blocks DROP COLUMN damaged;
ALTER TABLE pages ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;
ALTER TABLE blocks ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;
DROP INDEX files_roots;
DROP INDEX files_open;
ALTER TABLE files DROP COLUMN dead;
ALTER TABLE files DROP COLUMN entries;
DROP TABLE holds;
DROP TABLE file_candidates;
DROP TABLE block_candidates;
DROP TABLE page_candidates;
