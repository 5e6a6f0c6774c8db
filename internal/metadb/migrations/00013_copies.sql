-- A draft that begins as a snapshot of another domain is copied in ranges.

-- +goose Up
ALTER TABLE drafts ADD COLUMN copied BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE drafts DROP COLUMN copied;
