-- Which data keys a dedupe domain has, what they have encrypted, and which packs may have
-- frames under which. See packages blockstore and keyring.

-- +goose Up
ALTER TABLE domains ADD COLUMN oldest_key BIGINT NOT NULL DEFAULT 0; -- numbers of the data keys in wrapped
ALTER TABLE domains ADD COLUMN newest_key BIGINT NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN retire BIGINT NOT NULL DEFAULT 0;     -- data keys below it are to go
ALTER TABLE domains ADD COLUMN encrypted BIGINT NOT NULL DEFAULT 0;  -- blocks under the newest, at most
-- What has been encrypted so far was not counted, so the next block takes a new key.
UPDATE domains SET encrypted = 1073741824 WHERE kms_key <> '';

ALTER TABLE files ADD COLUMN oldest_key BIGINT NOT NULL DEFAULT 0;   -- of a pack: no frame is under a data key with a lower number

-- +goose Down
ALTER TABLE files DROP COLUMN oldest_key;
ALTER TABLE domains DROP COLUMN encrypted;
ALTER TABLE domains DROP COLUMN retire;
ALTER TABLE domains DROP COLUMN newest_key;
ALTER TABLE domains DROP COLUMN oldest_key;
