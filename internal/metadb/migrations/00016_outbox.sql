-- What the world is to learn of events; see package outbox.

-- +goose Up
CREATE TABLE outbox (
	id       BIGINT PRIMARY KEY,
	kind     TEXT NOT NULL,
	account  TEXT NOT NULL,
	resource TEXT NOT NULL,
	detail   TEXT NOT NULL, -- JSON of outbox.Detail
	at       BIGINT NOT NULL
);

-- +goose Down
DROP TABLE outbox;
