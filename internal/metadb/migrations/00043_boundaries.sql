-- Permissions boundaries and instance profiles. See package metadb for the columns'
-- forms.

-- +goose Up

-- owner is the id of a user or role; policy that of a managed policy, or empty for one
-- of AWS's: as in iam_attachments.
CREATE TABLE iam_boundaries (
	owner   TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	arn     TEXT NOT NULL,
	policy  TEXT NOT NULL
);
CREATE INDEX iam_boundaries_by_arn ON iam_boundaries (account, arn);
CREATE INDEX iam_boundaries_by_policy ON iam_boundaries (policy);

-- name_key is the name in lower case, as in iam_roles.
CREATE TABLE iam_instance_profiles (
	account  TEXT NOT NULL,
	name_key TEXT NOT NULL,
	name     TEXT NOT NULL,
	path     TEXT NOT NULL,
	id       TEXT NOT NULL UNIQUE,
	created  BIGINT NOT NULL,
	tags     TEXT NOT NULL, -- JSON of tag.Set
	role     TEXT NOT NULL, -- id, or empty
	PRIMARY KEY (account, name_key)
);
CREATE INDEX iam_instance_profiles_by_role ON iam_instance_profiles (role);

-- +goose Down
DROP TABLE iam_instance_profiles;
DROP TABLE iam_boundaries;
