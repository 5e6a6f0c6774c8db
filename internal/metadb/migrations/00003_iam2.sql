-- Users, their keys, and managed policies. See package metadb for the columns' forms.

-- +goose Up

-- name_key is the name in lower case, as in iam_roles.
CREATE TABLE iam_users (
	account  TEXT NOT NULL,
	name_key TEXT NOT NULL,
	name     TEXT NOT NULL,
	path     TEXT NOT NULL,
	id       TEXT NOT NULL UNIQUE,
	created  BIGINT NOT NULL,
	tags     TEXT NOT NULL, -- JSON of tag.Set
	PRIMARY KEY (account, name_key)
);

CREATE TABLE iam_managed_policies (
	account     TEXT NOT NULL,
	name_key    TEXT NOT NULL,
	name        TEXT NOT NULL,
	path        TEXT NOT NULL,
	id          TEXT NOT NULL UNIQUE,
	description TEXT NOT NULL,
	created     BIGINT NOT NULL,
	updated     BIGINT NOT NULL,
	tags        TEXT NOT NULL, -- JSON of tag.Set
	versions    TEXT NOT NULL, -- JSON of []iam.Version
	in_force    BIGINT NOT NULL,
	last        BIGINT NOT NULL,
	PRIMARY KEY (account, name_key)
);

-- owner is the id of a user or role; policy that of a managed policy, or empty
-- for one of AWS's.
CREATE TABLE iam_attachments (
	account TEXT NOT NULL,
	owner   TEXT NOT NULL,
	arn     TEXT NOT NULL,
	policy  TEXT NOT NULL,
	PRIMARY KEY (owner, arn)
);
CREATE INDEX iam_attachments_by_arn ON iam_attachments (account, arn);
CREATE INDEX iam_attachments_by_policy ON iam_attachments (policy);

-- From here on owners are ids, so that a name can change.
UPDATE iam_inline_policies SET owner = (
	SELECT r.id FROM iam_roles r WHERE r.account = iam_inline_policies.account AND 'role/' || r.name_key = iam_inline_policies.owner
);
ALTER TABLE iam_keys RENAME COLUMN user_name TO user_id;
ALTER TABLE iam_keys ADD COLUMN inactive BIGINT NOT NULL DEFAULT 0;
ALTER TABLE iam_keys ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE iam_keys ADD COLUMN used_service TEXT NOT NULL DEFAULT '';
ALTER TABLE iam_keys ADD COLUMN used_region TEXT NOT NULL DEFAULT '';

-- +goose Down
DELETE FROM iam_inline_policies WHERE owner NOT IN (SELECT id FROM iam_roles);
UPDATE iam_inline_policies SET owner = (SELECT 'role/' || r.name_key FROM iam_roles r WHERE r.id = iam_inline_policies.owner);
DELETE FROM iam_keys WHERE user_id <> '';
ALTER TABLE iam_keys DROP COLUMN used_region;
ALTER TABLE iam_keys DROP COLUMN used_service;
ALTER TABLE iam_keys DROP COLUMN used;
ALTER TABLE iam_keys DROP COLUMN inactive;
ALTER TABLE iam_keys RENAME COLUMN user_id TO user_name;
DROP TABLE iam_attachments;
DROP TABLE iam_managed_policies;
DROP TABLE iam_users;
