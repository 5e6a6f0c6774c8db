-- What the bytes of a piece are recognised by when it is read again. See package objects.

-- +goose Up
ALTER TABLE s3_pieces ADD COLUMN proof TEXT NOT NULL DEFAULT ''; -- empty: none

-- +goose Down
ALTER TABLE s3_pieces DROP COLUMN proof;
