-- Which node has the image of a task unpacked. See package work.

-- +goose Up
CREATE TABLE affinities (
    task TEXT PRIMARY KEY,
    owner TEXT NOT NULL, -- as in units
    until BIGINT NOT NULL
);

-- +goose Down
DROP TABLE affinities;
