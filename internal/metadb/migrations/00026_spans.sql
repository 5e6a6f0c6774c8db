-- Frames have any length: where a block lies is said in units of 4 KiB. See
-- package blockstore.

-- +goose Up
ALTER TABLE blocks ADD COLUMN off BIGINT NOT NULL DEFAULT 0;
ALTER TABLE blocks ADD COLUMN len BIGINT NOT NULL DEFAULT 0;
UPDATE blocks SET off = 1 + 129 * slot, len = 129;
ALTER TABLE blocks DROP COLUMN slot;

-- +goose Down
ALTER TABLE blocks ADD COLUMN slot BIGINT NOT NULL DEFAULT 0;
UPDATE blocks SET slot = (off - 1) / 129;
ALTER TABLE blocks DROP COLUMN len;
ALTER TABLE blocks DROP COLUMN off;
