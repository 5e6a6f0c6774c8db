-- A range is finished in slices.

-- +goose Up

-- done is how much of a unit its earlier leases have finished for good, in a measure
-- of its kind's own: of a range, pages.
ALTER TABLE units ADD COLUMN done BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE units DROP COLUMN done;
