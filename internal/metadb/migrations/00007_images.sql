-- Images, accounts' defaults for snapshots, and the tags that an import's snapshot
-- will get. See package metadb for the columns' forms.

-- +goose Up

CREATE TABLE images (
	id      TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	name    TEXT NOT NULL,
	body    TEXT NOT NULL, -- JSON of image.Image
	created BIGINT NOT NULL,
	UNIQUE (account, name)
);

CREATE TABLE image_snapshots (
	snapshot TEXT NOT NULL,
	image    TEXT NOT NULL,
	PRIMARY KEY (snapshot, image)
);
CREATE INDEX image_snapshots_by_image ON image_snapshots (image);

CREATE TABLE snapshot_defaults (
	account TEXT NOT NULL,
	region  TEXT NOT NULL,
	encrypt BIGINT NOT NULL,
	kms_key TEXT NOT NULL, -- empty: AWS's
	PRIMARY KEY (account, region)
);

ALTER TABLE tasks ADD COLUMN snapshot_tags TEXT NOT NULL DEFAULT '[]'; -- JSON of tag.Set

-- +goose Down
ALTER TABLE tasks DROP COLUMN snapshot_tags;
DROP TABLE snapshot_defaults;
DROP TABLE image_snapshots;
DROP TABLE images;
