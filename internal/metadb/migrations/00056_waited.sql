-- How long units have waited.

-- +goose Up

-- Of the waits in a row, how long they were, in microseconds: one that was resumed
-- counts as far as it had come.
ALTER TABLE units ADD COLUMN waited BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE units DROP COLUMN waited;
