-- Lists take a page: indexes in the orders that lists are read in, and by what
-- filters look for. See package metadb for the columns' forms.

-- +goose Up

DROP INDEX tasks_by_account;
CREATE INDEX tasks_by_account ON tasks (account, created, id);
CREATE INDEX tasks_by_state ON tasks (account, state, created, id);
DROP INDEX tasks_by_end;
CREATE INDEX tasks_by_end ON tasks (ended, id);

DROP INDEX snapshots_by_account;
CREATE INDEX snapshots_by_account ON snapshots (account, started, id);
CREATE INDEX snapshots_by_state ON snapshots (account, state, started, id);
CREATE INDEX snapshots_by_description ON snapshots (account, description, started, id);
CREATE INDEX snapshots_by_task ON snapshots (task);

-- started is the snapshot's, which never changes: what is shared with an account is
-- listed in that order.
ALTER TABLE snapshot_shares ADD COLUMN started BIGINT NOT NULL DEFAULT 0;
UPDATE snapshot_shares SET started = COALESCE((SELECT s.started FROM snapshots s WHERE s.id = snapshot_shares.snapshot), 0);
DROP INDEX snapshot_shares_by_grantee;
CREATE INDEX snapshot_shares_by_grantee ON snapshot_shares (grantee, started, snapshot);

CREATE INDEX images_by_account ON images (account, created, id);

DROP INDEX tags_by_account;
CREATE INDEX tags_by_account ON tags (account, resource, name);
CREATE INDEX tags_by_value ON tags (account, name, value, resource);

-- +goose Down
DROP INDEX tags_by_value;
DROP INDEX tags_by_account;
CREATE INDEX tags_by_account ON tags (account);
DROP INDEX images_by_account;
DROP INDEX snapshot_shares_by_grantee;
CREATE INDEX snapshot_shares_by_grantee ON snapshot_shares (grantee);
ALTER TABLE snapshot_shares DROP COLUMN started;
DROP INDEX snapshots_by_task;
DROP INDEX snapshots_by_description;
DROP INDEX snapshots_by_state;
DROP INDEX snapshots_by_account;
CREATE INDEX snapshots_by_account ON snapshots (account, started);
DROP INDEX tasks_by_end;
CREATE INDEX tasks_by_end ON tasks (ended);
DROP INDEX tasks_by_state;
DROP INDEX tasks_by_account;
CREATE INDEX tasks_by_account ON tasks (account, created);
