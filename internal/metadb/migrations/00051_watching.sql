-- What is told once, and the traces that units of work belong to.

-- +goose Up

-- What stands until it is over, such as damage. See outbox.Conditions.
CREATE TABLE conditions (
	topic TEXT NOT NULL,
	place TEXT NOT NULL,
	seen  BIGINT NOT NULL, -- last
	PRIMARY KEY (topic, place)
);

-- The span that made the unit, as W3C's traceparent has it; empty: none.
ALTER TABLE units ADD COLUMN trace TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE units DROP COLUMN trace;
DROP TABLE conditions;
