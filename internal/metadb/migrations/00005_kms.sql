-- Keys, aliases and grants of the embedded KMS. See package metadb for the
-- columns' forms.

-- +goose Up

CREATE TABLE kms_keys (
	account      TEXT NOT NULL,
	region       TEXT NOT NULL,
	id           TEXT NOT NULL,
	spec         TEXT NOT NULL,
	key_usage    TEXT NOT NULL,
	origin       TEXT NOT NULL,
	manager      TEXT NOT NULL,
	state        TEXT NOT NULL,
	multi_region BIGINT NOT NULL,
	description  TEXT NOT NULL,
	policy       TEXT NOT NULL,
	created      BIGINT NOT NULL,
	deletion     BIGINT NOT NULL,
	window_days  BIGINT NOT NULL,
	tags         TEXT NOT NULL, -- JSON of tag.Set
	sealed       BYTEA,         -- the material, under the master key
	PRIMARY KEY (account, region, id)
);
CREATE INDEX kms_keys_by_deletion ON kms_keys (deletion) WHERE deletion <> 0;

CREATE TABLE kms_aliases (
	account TEXT NOT NULL,
	region  TEXT NOT NULL,
	name    TEXT NOT NULL,
	target  TEXT NOT NULL,
	created BIGINT NOT NULL,
	updated BIGINT NOT NULL,
	PRIMARY KEY (account, region, name)
);

CREATE TABLE kms_grants (
	account TEXT NOT NULL,
	region  TEXT NOT NULL,
	key_id  TEXT NOT NULL,
	id      TEXT NOT NULL,
	content TEXT NOT NULL, -- JSON of kms.Grant
	PRIMARY KEY (account, region, key_id, id)
);

-- +goose Down
DROP TABLE kms_grants;
DROP TABLE kms_aliases;
DROP TABLE kms_keys;
