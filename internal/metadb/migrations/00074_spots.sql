-- A sum over the keys of rows that say what lies at a place of a pending snapshot. See spot.

-- +goose Up
ALTER TABLE range_pages ADD COLUMN spot BIGINT NOT NULL DEFAULT 0;  -- 0: an older version wrote the row
ALTER TABLE draft_blocks ADD COLUMN spot BIGINT NOT NULL DEFAULT 0; -- likewise

-- +goose Down
ALTER TABLE draft_blocks DROP COLUMN spot;
ALTER TABLE range_pages DROP COLUMN spot;
