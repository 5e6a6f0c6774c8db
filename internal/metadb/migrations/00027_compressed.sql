-- compressed says of a pack that its blocks have been compressed where that helps;
-- see package compact.

-- +goose Up
ALTER TABLE files ADD COLUMN compressed BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE files DROP COLUMN compressed;
