-- What copies are copies of, which is told when they end. See package snapshot.

-- +goose Up
ALTER TABLE snapshots ADD COLUMN copy_of TEXT NOT NULL DEFAULT '';     -- a snapshot's id; empty: it is no copy, or an older version made it
ALTER TABLE snapshots ADD COLUMN copy_region TEXT NOT NULL DEFAULT ''; -- where that is

-- +goose Down
ALTER TABLE snapshots DROP COLUMN copy_region;
ALTER TABLE snapshots DROP COLUMN copy_of;
