-- Images that are shared, deprecated, protected, and copies of others. See package
-- metadb for the columns' forms.

-- +goose Up

ALTER TABLE images ADD COLUMN deprecated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN protection TEXT NOT NULL DEFAULT '';
ALTER TABLE images ADD COLUMN protected_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN token TEXT; -- NULL: none
ALTER TABLE images ADD COLUMN digest TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX images_by_token ON images (account, region, token);

CREATE TABLE image_shares (
	image   TEXT NOT NULL,
	grantee TEXT NOT NULL, -- an account, or all
	region  TEXT NOT NULL, -- the image's, which never changes, as created
	created BIGINT NOT NULL,
	PRIMARY KEY (image, grantee)
);
CREATE INDEX image_shares_by_grantee ON image_shares (grantee, region, created, image);

-- +goose Down
DROP TABLE image_shares;
DROP INDEX images_by_token;
ALTER TABLE images DROP COLUMN digest;
ALTER TABLE images DROP COLUMN token;
ALTER TABLE images DROP COLUMN protected_until;
ALTER TABLE images DROP COLUMN protection;
ALTER TABLE images DROP COLUMN deprecated;
