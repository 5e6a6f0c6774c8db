-- Units that wait for something that returns by itself, such as room on the disk, and
-- units that were put off by a clock that ran ahead.

-- +goose Up

-- waits are the tries, in a row, that ended in waiting; waiting_since is the first of
-- them, waits_for what the last one found missing.
ALTER TABLE units ADD COLUMN waits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN waiting_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';
-- When the unit was last claimed. If that is yet to come, the clock has been set back.
ALTER TABLE units ADD COLUMN claimed BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE units DROP COLUMN claimed;
ALTER TABLE units DROP COLUMN waits_for;
ALTER TABLE units DROP COLUMN waiting_since;
ALTER TABLE units DROP COLUMN waits;
