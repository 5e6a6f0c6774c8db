-- Imports of machine images, and the disks of which they are made. See package metadb
-- for the columns' forms.

-- +goose Up

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

-- Of a disk of an image: its task, its place, and what says which disk it is.
ALTER TABLE tasks ADD COLUMN image_task TEXT NOT NULL DEFAULT ''; -- empty: the task imports a snapshot alone
ALTER TABLE tasks ADD COLUMN container BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN disk BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN device TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN member TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN machine TEXT NOT NULL DEFAULT '{}'; -- JSON of importtask.Machine
CREATE UNIQUE INDEX tasks_by_image ON tasks (image_task, container, disk) WHERE image_task <> '';
DROP INDEX tasks_by_account;
CREATE INDEX tasks_by_account ON tasks (account, region, image_task, created, id);
DROP INDEX tasks_by_state;
CREATE INDEX tasks_by_state ON tasks (account, region, image_task, state, created, id);

-- +goose Down

-- What is being imported is dropped as if its tasks were forgotten; the images and
-- snapshots that were made stay.
DELETE FROM units WHERE task IN (SELECT id FROM image_tasks) OR task IN (SELECT id FROM tasks WHERE image_task <> '');
DELETE FROM snapshots WHERE state = 'pending' AND task IN (SELECT id FROM tasks WHERE image_task <> '');
DELETE FROM tags WHERE resource IN (SELECT id FROM image_tasks);
DROP INDEX tasks_by_state;
DROP INDEX tasks_by_account;
DROP INDEX tasks_by_image;
DELETE FROM tasks WHERE image_task <> '';
ALTER TABLE tasks DROP COLUMN machine;
ALTER TABLE tasks DROP COLUMN member;
ALTER TABLE tasks DROP COLUMN device;
ALTER TABLE tasks DROP COLUMN disk;
ALTER TABLE tasks DROP COLUMN container;
ALTER TABLE tasks DROP COLUMN image_task;
CREATE INDEX tasks_by_account ON tasks (account, region, created, id);
CREATE INDEX tasks_by_state ON tasks (account, region, state, created, id);
DROP TABLE image_tasks;
