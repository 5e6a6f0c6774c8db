-- Access keys, roles and policies. See package metadb for the columns' forms.

-- +goose Up

CREATE TABLE iam_keys (
	id        TEXT PRIMARY KEY,
	account   TEXT NOT NULL,
	user_name TEXT NOT NULL, -- empty: root
	sealed    BYTEA NOT NULL,
	created   BIGINT NOT NULL
);
CREATE INDEX iam_keys_by_account ON iam_keys (account, user_name);

-- name_key is the name in lower case: two names differ by more than case.
CREATE TABLE iam_roles (
	account     TEXT NOT NULL,
	name_key    TEXT NOT NULL,
	name        TEXT NOT NULL,
	path        TEXT NOT NULL,
	id          TEXT NOT NULL,
	trust       TEXT NOT NULL,
	description TEXT NOT NULL,
	max_session BIGINT NOT NULL, -- microseconds
	created     BIGINT NOT NULL,
	tags        TEXT NOT NULL, -- JSON of tag.Set
	PRIMARY KEY (account, name_key)
);

-- owner is role/NAME in lower case.
CREATE TABLE iam_inline_policies (
	account  TEXT NOT NULL,
	owner    TEXT NOT NULL,
	name     TEXT NOT NULL,
	document TEXT NOT NULL,
	PRIMARY KEY (account, owner, name)
);

-- +goose Down
DROP TABLE iam_inline_policies;
DROP TABLE iam_roles;
DROP TABLE iam_keys;
