-- The file that an image was in, by its name, for people to tell snapshots apart. See
-- package importtask.

-- +goose Up
ALTER TABLE tasks ADD COLUMN source_name TEXT NOT NULL DEFAULT '';     -- empty: an older version made it
ALTER TABLE snapshots ADD COLUMN source_name TEXT NOT NULL DEFAULT ''; -- likewise, or it was not imported

-- +goose Down
ALTER TABLE snapshots DROP COLUMN source_name;
ALTER TABLE tasks DROP COLUMN source_name;
