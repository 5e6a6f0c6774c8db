-- How far the background verification of the store is. See package verify.

-- +goose Up

-- One row. after is behind what it goes on in a stage; ended is 0 while it runs. The rest is
-- what it has done so far.
CREATE TABLE scrubs (
	name      TEXT PRIMARY KEY,
	begun     BIGINT NOT NULL,
	ended     BIGINT NOT NULL,
	stage     BIGINT NOT NULL,
	after     TEXT NOT NULL,
	files     BIGINT NOT NULL,
	bytes     BIGINT NOT NULL,
	blocks    BIGINT NOT NULL,
	snapshots BIGINT NOT NULL,
	findings  BIGINT NOT NULL,
	harmless  BIGINT NOT NULL,
	healed    BIGINT NOT NULL
);

-- +goose Down
DROP TABLE scrubs;
