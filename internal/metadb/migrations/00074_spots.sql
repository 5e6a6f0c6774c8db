-- Sums over rows that say what lies at a place of a pending snapshot, and over the plan of its
-- import; and how many pages of that are left. See spot and allRangesDone.

-- +goose Up
ALTER TABLE range_pages ADD COLUMN spot BIGINT NOT NULL DEFAULT 0;  -- 0: an older version wrote the row
ALTER TABLE draft_blocks ADD COLUMN spot BIGINT NOT NULL DEFAULT 0; -- likewise
ALTER TABLE tasks ADD COLUMN plan_sum BIGINT NOT NULL DEFAULT 0;    -- over ranges; 0: there are none yet, or an older version made them
ALTER TABLE tasks ADD COLUMN pages_left BIGINT NOT NULL DEFAULT 0;  -- of the ranges; below 0: nobody counts them

-- +goose Down
ALTER TABLE tasks DROP COLUMN pages_left;
ALTER TABLE tasks DROP COLUMN plan_sum;
ALTER TABLE draft_blocks DROP COLUMN spot;
ALTER TABLE range_pages DROP COLUMN spot;
