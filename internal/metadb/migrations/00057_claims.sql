-- Claims find a unit along indexes, however many there are.

-- +goose Up

-- 1 from when a unit is put off, until a claim has seen that it is due again: not_before
-- is compared with the clock, and so is no part of an order.
ALTER TABLE units ADD COLUMN put_off BIGINT NOT NULL DEFAULT 0;
UPDATE units SET put_off = 1 WHERE not_before > 0;

-- In the order in which they are claimed.
CREATE INDEX units_due ON units (kind, account, created, range_index, id) WHERE put_off = 0;
CREATE INDEX units_put_off ON units (not_before) WHERE put_off = 1;
CREATE INDEX units_put_off_ahead ON units (claimed) WHERE put_off = 1;
CREATE INDEX units_leased ON units (lease_until) WHERE lease_until > 0;

-- +goose Down
DROP INDEX units_leased;
DROP INDEX units_put_off_ahead;
DROP INDEX units_put_off;
DROP INDEX units_due;
ALTER TABLE units DROP COLUMN put_off;
