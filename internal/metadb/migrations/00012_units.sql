-- Claims and failures of units are counted apart.

-- +goose Up

-- claims since the unit got further than ever before; furthest is how far that
-- was, in a measure of its kind's own. failing_since is the first of its failures.
ALTER TABLE units ADD COLUMN claims BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN furthest BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN failing_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE units ADD COLUMN last_error TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE units DROP COLUMN last_error;
ALTER TABLE units DROP COLUMN failing_since;
ALTER TABLE units DROP COLUMN failures;
ALTER TABLE units DROP COLUMN furthest;
ALTER TABLE units DROP COLUMN claims;
