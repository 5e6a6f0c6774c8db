-- Written by TestBaseline from the migrations.
CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value BYTEA NOT NULL
);
CREATE TABLE counters (
	name  TEXT PRIMARY KEY,
	value BIGINT NOT NULL
);
CREATE TABLE account_locks (
	account TEXT PRIMARY KEY
);
CREATE TABLE units (
	id          BIGINT PRIMARY KEY,
	account     TEXT NOT NULL,
	kind        TEXT NOT NULL,
	task        TEXT NOT NULL,
	range_index BIGINT NOT NULL,
	owner       TEXT NOT NULL,
	attempt     BIGINT NOT NULL,
	lease_until BIGINT NOT NULL,
	not_before  BIGINT NOT NULL DEFAULT 0,
	created     BIGINT NOT NULL,
	progress    BYTEA, claims BIGINT NOT NULL DEFAULT 0, furthest BIGINT NOT NULL DEFAULT 0, failures BIGINT NOT NULL DEFAULT 0, failing_since BIGINT NOT NULL DEFAULT 0, last_error TEXT NOT NULL DEFAULT '', done BIGINT NOT NULL DEFAULT 0, waits BIGINT NOT NULL DEFAULT 0, waiting_since BIGINT NOT NULL DEFAULT 0, waits_for TEXT NOT NULL DEFAULT '', claimed BIGINT NOT NULL DEFAULT 0, -- the live counts of the attempt
	UNIQUE (task, kind, range_index)
);
CREATE TABLE domains (
	id      TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	kms_key TEXT NOT NULL,
	wrapped BYTEA NOT NULL, oldest_key BIGINT NOT NULL DEFAULT 0, newest_key BIGINT NOT NULL DEFAULT 0, retire BIGINT NOT NULL DEFAULT 0, encrypted BIGINT NOT NULL DEFAULT 0,
	UNIQUE (account, kms_key)
);
CREATE TABLE files (
	id      BIGINT PRIMARY KEY,
	kind    TEXT NOT NULL,
	domain  TEXT NOT NULL,
	state   TEXT NOT NULL, -- open, sealed
	unit    BIGINT NOT NULL,
	attempt BIGINT NOT NULL,
	bytes   BIGINT NOT NULL,
	created BIGINT NOT NULL
, entries BIGINT NOT NULL DEFAULT 0, dead BIGINT NOT NULL DEFAULT 0, compressed BIGINT NOT NULL DEFAULT 0, oldest_key BIGINT NOT NULL DEFAULT 0);
CREATE TABLE blocks (
	id        BYTEA PRIMARY KEY,
	file      BIGINT NOT NULL,
	condemned BIGINT NOT NULL DEFAULT 0, damaged BIGINT NOT NULL DEFAULT 0, off BIGINT NOT NULL DEFAULT 0, len BIGINT NOT NULL DEFAULT 0);
CREATE INDEX blocks_by_file ON blocks (file);
CREATE INDEX blocks_condemned ON blocks (condemned) WHERE condemned <> 0;
CREATE TABLE pages (
	id        BYTEA PRIMARY KEY,
	file      BIGINT NOT NULL,
	off       BIGINT NOT NULL,
	len       BIGINT NOT NULL,
	blocks    BIGINT NOT NULL,
	condemned BIGINT NOT NULL DEFAULT 0);
CREATE INDEX pages_by_file ON pages (file);
CREATE INDEX pages_condemned ON pages (condemned) WHERE condemned <> 0;
CREATE TABLE "range_pages" (
	snapshot TEXT NOT NULL,
	page     BIGINT NOT NULL,
	page_id  BYTEA NOT NULL,
	blocks   BIGINT NOT NULL,
	PRIMARY KEY (snapshot, page)
);
CREATE TABLE snapshots (
	id            TEXT PRIMARY KEY,
	account       TEXT NOT NULL,
	domain        TEXT NOT NULL,
	task          TEXT NOT NULL,
	description   TEXT NOT NULL,
	state         TEXT NOT NULL,
	volume_gib    BIGINT NOT NULL,
	virtual_bytes BIGINT NOT NULL,
	progress      BIGINT NOT NULL,
	started       BIGINT NOT NULL,
	completed     BIGINT NOT NULL,
	root          BIGINT NOT NULL, -- a root file; 0 until completed
	blocks        BIGINT NOT NULL,
	stored        BIGINT NOT NULL
, token TEXT, digest TEXT NOT NULL DEFAULT '', parent TEXT NOT NULL DEFAULT '', lineage TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '', tier TEXT NOT NULL DEFAULT 'standard', tier_since BIGINT NOT NULL DEFAULT 0, data_key TEXT NOT NULL DEFAULT '', region TEXT NOT NULL DEFAULT '', volume TEXT NOT NULL DEFAULT '');
CREATE INDEX snapshots_by_root ON snapshots (root);
CREATE TABLE tags (
	resource TEXT NOT NULL,
	name     TEXT NOT NULL,
	value    TEXT NOT NULL,
	account  TEXT NOT NULL, region TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (resource, name)
);
CREATE TABLE iam_keys (
	id        TEXT PRIMARY KEY,
	account   TEXT NOT NULL,
	user_id TEXT NOT NULL, -- empty: root
	wrapped    BYTEA NOT NULL,
	created   BIGINT NOT NULL
, inactive BIGINT NOT NULL DEFAULT 0, used BIGINT NOT NULL DEFAULT 0, used_service TEXT NOT NULL DEFAULT '', used_region TEXT NOT NULL DEFAULT '');
CREATE INDEX iam_keys_by_account ON iam_keys (account, user_id);
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
CREATE TABLE iam_inline_policies (
	account  TEXT NOT NULL,
	owner    TEXT NOT NULL,
	name     TEXT NOT NULL,
	document TEXT NOT NULL,
	PRIMARY KEY (account, owner, name)
);
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
CREATE TABLE iam_attachments (
	account TEXT NOT NULL,
	owner   TEXT NOT NULL,
	arn     TEXT NOT NULL,
	policy  TEXT NOT NULL,
	PRIMARY KEY (owner, arn)
);
CREATE INDEX iam_attachments_by_arn ON iam_attachments (account, arn);
CREATE INDEX iam_attachments_by_policy ON iam_attachments (policy);
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
	wrapped       BYTEA, rotation_period BIGINT NOT NULL DEFAULT 0, next_rotation BIGINT NOT NULL DEFAULT 0, rotations TEXT NOT NULL DEFAULT '[]',         -- the material, under the master key
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
	content TEXT NOT NULL, retiring TEXT NOT NULL DEFAULT '', -- JSON of kms.Grant
	PRIMARY KEY (account, region, key_id, id)
);
CREATE TABLE drafts (
	snapshot      TEXT PRIMARY KEY,
	base          BIGINT NOT NULL,
	timeout       BIGINT NOT NULL, -- microseconds; 0: none, it is a copy
	touched       BIGINT NOT NULL,
	complete      BIGINT NOT NULL,
	want_blocks   BIGINT NOT NULL,
	want_checksum BYTEA
, copied BIGINT NOT NULL DEFAULT 0);
CREATE INDEX drafts_by_base ON drafts (base);
CREATE TABLE draft_blocks (
	snapshot  TEXT NOT NULL,
	block     BIGINT NOT NULL, -- index
	block_id  BYTEA NOT NULL,
	digest    BYTEA NOT NULL,
	inherited BIGINT NOT NULL,
	PRIMARY KEY (snapshot, block)
);
CREATE TABLE snapshot_shares (
	snapshot TEXT NOT NULL,
	grantee  TEXT NOT NULL, started BIGINT NOT NULL DEFAULT 0, region TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (snapshot, grantee)
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
CREATE TABLE page_candidates (
	id    BYTEA PRIMARY KEY,
	taken BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE block_candidates (
	id    BYTEA PRIMARY KEY,
	taken BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE file_candidates (
	file     BIGINT PRIMARY KEY,
	taken    BIGINT NOT NULL DEFAULT 0,
	expanded BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE holds (
	id    BIGINT PRIMARY KEY,
	root  BIGINT NOT NULL,
	until BIGINT NOT NULL,
	why   TEXT NOT NULL
);
CREATE INDEX holds_by_root ON holds (root);
CREATE INDEX files_open ON files (id) WHERE state = 'open';
CREATE INDEX files_roots ON files (id) WHERE kind = 'root';
CREATE INDEX blocks_damaged ON blocks (id) WHERE damaged <> 0;
CREATE INDEX snapshots_by_task ON snapshots (task);
CREATE TABLE outbox (
	id       BIGINT PRIMARY KEY,
	kind     TEXT NOT NULL,
	account  TEXT NOT NULL,
	resource TEXT NOT NULL,
	detail   TEXT NOT NULL, -- JSON of outbox.Detail
	at       BIGINT NOT NULL
, region TEXT NOT NULL DEFAULT '');
CREATE TABLE removed_accounts (
	account TEXT PRIMARY KEY,
	removed BIGINT NOT NULL
);
CREATE INDEX iam_roles_by_id ON iam_roles (id);
CREATE UNIQUE INDEX snapshots_by_token ON snapshots (account, region, token);
CREATE INDEX snapshots_by_account ON snapshots (account, region, started, id);
CREATE INDEX snapshots_by_state ON snapshots (account, region, state, started, id);
CREATE INDEX snapshots_by_description ON snapshots (account, region, description, started, id);
CREATE INDEX snapshot_shares_by_grantee ON snapshot_shares (grantee, region, started, snapshot);
CREATE INDEX tags_by_account ON tags (account, region, resource, name);
CREATE INDEX tags_by_value ON tags (account, region, name, value, resource);
CREATE TABLE "images" (
	id      TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	region  TEXT NOT NULL,
	name    TEXT NOT NULL,
	body    TEXT NOT NULL, -- JSON of image.Image
	created BIGINT NOT NULL, deprecated BIGINT NOT NULL DEFAULT 0, protection TEXT NOT NULL DEFAULT '', protected_until BIGINT NOT NULL DEFAULT 0, token TEXT, digest TEXT NOT NULL DEFAULT '',
	UNIQUE (account, region, name)
);
CREATE INDEX images_by_account ON images (account, region, created, id);
CREATE TABLE "tasks" (
	id               TEXT PRIMARY KEY,
	account          TEXT NOT NULL,
	region           TEXT NOT NULL,
	token            TEXT, -- NULL: none
	digest           TEXT NOT NULL,
	description      TEXT NOT NULL,
	disk_description TEXT NOT NULL,
	format           TEXT NOT NULL,
	role_name        TEXT NOT NULL,
	bucket           TEXT NOT NULL,
	object_key       TEXT NOT NULL,
	wrapped_url      BYTEA,
	pin              TEXT NOT NULL,
	source_bytes     BIGINT NOT NULL,
	state            TEXT NOT NULL,
	phase            TEXT NOT NULL,
	failure          TEXT NOT NULL, -- JSON of importtask.Failure
	snapshot         TEXT NOT NULL,
	ranges           TEXT NOT NULL, -- JSON of []importtask.Range
	ranges_left      BIGINT NOT NULL,
	counts           TEXT NOT NULL, -- JSON of importtask.Counts, finished ranges only
	virtual_bytes    BIGINT NOT NULL,
	warnings         TEXT NOT NULL, -- JSON of []string
	created          BIGINT NOT NULL,
	started          BIGINT NOT NULL,
	ended            BIGINT NOT NULL,
	snapshot_tags    TEXT NOT NULL, -- JSON of tag.Set
	encrypted        BIGINT NOT NULL,
	kms_key          TEXT NOT NULL, image_task TEXT NOT NULL DEFAULT '', container BIGINT NOT NULL DEFAULT 0, disk BIGINT NOT NULL DEFAULT 0, device TEXT NOT NULL DEFAULT '', member TEXT NOT NULL DEFAULT '', machine TEXT NOT NULL DEFAULT '{}', -- as given, an ARN once planned
	UNIQUE (account, region, token)
);
CREATE INDEX tasks_by_end ON tasks (ended, id);
CREATE TABLE s3_buckets (
	id         BIGINT PRIMARY KEY, -- a bucket that is made again is another one
	name       TEXT NOT NULL UNIQUE,
	account    TEXT NOT NULL,
	region     TEXT NOT NULL,
	versioning TEXT NOT NULL,
	created    BIGINT NOT NULL
);
CREATE INDEX s3_buckets_by_account ON s3_buckets (account, name);
CREATE TABLE s3_settings (
	bucket   BIGINT NOT NULL REFERENCES s3_buckets (id),
	name     TEXT NOT NULL,
	document BYTEA NOT NULL,
	PRIMARY KEY (bucket, name)
);
CREATE TABLE s3_objects (
	bucket   BIGINT NOT NULL REFERENCES s3_buckets (id),
	key      BYTEA NOT NULL,
	place    BIGINT NOT NULL, -- among the versions of the key: the newer, the smaller
	version  TEXT NOT NULL,
	latest   BIGINT NOT NULL,
	marker   BIGINT NOT NULL, -- a delete marker
	content  BIGINT NOT NULL, -- 0: of a delete marker
	size     BIGINT NOT NULL,
	etag     TEXT NOT NULL,
	modified BIGINT NOT NULL,
	checksum TEXT NOT NULL, -- algorithm, type and value; empty: none
	parts    BIGINT NOT NULL,
	metadata TEXT NOT NULL, -- JSON of objects.Metadata
	tags     TEXT NOT NULL, -- JSON of tag.Set
	PRIMARY KEY (bucket, key, place)
);
CREATE UNIQUE INDEX s3_objects_latest ON s3_objects (bucket, key) WHERE latest = 1;
CREATE UNIQUE INDEX s3_objects_null ON s3_objects (bucket, key) WHERE version = 'null' AND latest = 0;
CREATE TABLE s3_contents (
	id         BIGINT PRIMARY KEY,
	account    TEXT NOT NULL,
	size       BIGINT NOT NULL,
	refs       BIGINT NOT NULL, -- how many objects, parts and pins name it
	encryption TEXT NOT NULL -- JSON of objects.Encryption
);
CREATE TABLE s3_extents (
	content BIGINT NOT NULL,
	n       BIGINT NOT NULL, -- their order
	piece   BIGINT NOT NULL,
	skip    BIGINT NOT NULL,
	len     BIGINT NOT NULL,
	PRIMARY KEY (content, n)
);
CREATE INDEX s3_extents_by_piece ON s3_extents (piece);
CREATE TABLE s3_content_parts (
	content  BIGINT NOT NULL,
	number   BIGINT NOT NULL,
	start    BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	checksum TEXT NOT NULL,
	PRIMARY KEY (content, number)
);
CREATE TABLE s3_pieces (
	id        BIGINT PRIMARY KEY,
	writer    BIGINT NOT NULL, -- that has it open; 0: none
	size      BIGINT NOT NULL,
	refs      BIGINT NOT NULL, -- how many extents name it
	condemned BIGINT NOT NULL
);
CREATE INDEX s3_pieces_unnamed ON s3_pieces (id) WHERE refs = 0;
CREATE TABLE s3_uploads (
	id        TEXT PRIMARY KEY, -- later ones are greater
	bucket    BIGINT NOT NULL REFERENCES s3_buckets (id),
	key       BYTEA NOT NULL,
	initiator TEXT NOT NULL,
	created   BIGINT NOT NULL,
	body      TEXT NOT NULL -- JSON of uploadParts
);
CREATE INDEX s3_uploads_by_key ON s3_uploads (bucket, key, id);
CREATE TABLE s3_parts (
	upload   TEXT NOT NULL,
	number   BIGINT NOT NULL,
	content  BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	etag     TEXT NOT NULL,
	modified BIGINT NOT NULL,
	checksum TEXT NOT NULL,
	PRIMARY KEY (upload, number)
);
CREATE INDEX s3_parts_by_content ON s3_parts (content);
CREATE TABLE s3_completions (
	upload  TEXT PRIMARY KEY,
	bucket  BIGINT NOT NULL,
	key     BYTEA NOT NULL,
	request TEXT NOT NULL, -- hash of the parts that it named
	object  TEXT NOT NULL, -- JSON of completedObject
	ended   BIGINT NOT NULL
);
CREATE INDEX s3_completions_by_end ON s3_completions (ended);
CREATE TABLE s3_pins (
	id       TEXT PRIMARY KEY,
	content  BIGINT NOT NULL,
	size     BIGINT NOT NULL,
	etag     TEXT NOT NULL,
	version  TEXT NOT NULL,
	modified BIGINT NOT NULL
);
CREATE TABLE s3_usage (
	account TEXT PRIMARY KEY,
	bytes   BIGINT NOT NULL
);
CREATE UNIQUE INDEX images_by_token ON images (account, region, token);
CREATE TABLE image_shares (
	image   TEXT NOT NULL,
	grantee TEXT NOT NULL, -- an account, or all
	region  TEXT NOT NULL, -- the image's, which never changes, as created
	created BIGINT NOT NULL,
	PRIMARY KEY (image, grantee)
);
CREATE INDEX image_shares_by_grantee ON image_shares (grantee, region, created, image);
CREATE TABLE volumes (
	id       TEXT PRIMARY KEY,
	account  TEXT NOT NULL,
	region   TEXT NOT NULL,
	zone     TEXT NOT NULL,
	settings TEXT NOT NULL,   -- JSON of volume.Settings
	modified TEXT NOT NULL,   -- JSON of volume.Modification; empty: never
	snapshot TEXT NOT NULL,   -- that it was made from; empty: none
	kms_key  TEXT NOT NULL,   -- empty: not encrypted
	hold     BIGINT NOT NULL, -- of the snapshot's root, which has no end; 0: an empty volume
	root     BIGINT NOT NULL, -- the hold's
	created  BIGINT NOT NULL,
	token    TEXT,            -- NULL: none
	digest   TEXT NOT NULL
);
CREATE INDEX volumes_by_account ON volumes (account, region, created, id);
CREATE UNIQUE INDEX volumes_by_token ON volumes (account, region, token);
CREATE TABLE image_tasks (
	id      TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	region  TEXT NOT NULL,
	token   TEXT, -- NULL: none
	digest  TEXT NOT NULL,
	spec    TEXT NOT NULL, -- JSON of importtask.ImageSpec
	state   TEXT NOT NULL, -- that of its disks too
	failure TEXT NOT NULL, -- JSON of importtask.Failure
	image   TEXT NOT NULL, -- empty until completed
	created BIGINT NOT NULL,
	ended   BIGINT NOT NULL,
	UNIQUE (account, region, token)
);
CREATE INDEX image_tasks_by_account ON image_tasks (account, region, created, id);
CREATE INDEX image_tasks_by_state ON image_tasks (account, region, state, created, id);
CREATE INDEX image_tasks_by_end ON image_tasks (ended, id);
CREATE UNIQUE INDEX tasks_by_image ON tasks (image_task, container, disk) WHERE image_task <> '';
CREATE INDEX tasks_by_account ON tasks (account, region, image_task, created, id);
CREATE INDEX tasks_by_state ON tasks (account, region, image_task, state, created, id);
CREATE TABLE iam_boundaries (
	owner   TEXT PRIMARY KEY,
	account TEXT NOT NULL,
	arn     TEXT NOT NULL,
	policy  TEXT NOT NULL
);
CREATE INDEX iam_boundaries_by_arn ON iam_boundaries (account, arn);
CREATE INDEX iam_boundaries_by_policy ON iam_boundaries (policy);
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
CREATE INDEX kms_keys_by_rotation ON kms_keys (next_rotation) WHERE next_rotation <> 0;
CREATE INDEX kms_grants_by_retiring ON kms_grants (account, region, retiring, id) WHERE retiring <> '';
INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (1, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (3, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (5, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (6, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (7, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (8, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (9, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (10, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (12, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (13, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (14, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (16, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (18, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (19, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (20, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (21, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (22, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (24, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (26, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (27, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (30, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (33, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (34, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (37, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (39, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (43, 1);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (44, 1);
