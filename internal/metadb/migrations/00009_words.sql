-- One word, one meaning: a small secret is wrapped, a file is closed, a draft is
-- completed, and the pages that an import's ranges register are no draft's.

-- +goose Up

ALTER TABLE iam_keys RENAME COLUMN sealed TO wrapped;
ALTER TABLE kms_keys RENAME COLUMN sealed TO wrapped;
ALTER TABLE tasks RENAME COLUMN sealed_url TO wrapped_url;
ALTER TABLE draft_pages RENAME TO range_pages;
UPDATE files SET state = 'closed' WHERE state = 'sealed';
UPDATE units SET kind = 'complete' WHERE kind = 'seal';

-- +goose Down
UPDATE units SET kind = 'seal' WHERE kind = 'complete';
UPDATE files SET state = 'sealed' WHERE state = 'closed';
ALTER TABLE range_pages RENAME TO draft_pages;
ALTER TABLE tasks RENAME COLUMN wrapped_url TO sealed_url;
ALTER TABLE kms_keys RENAME COLUMN wrapped TO sealed;
ALTER TABLE iam_keys RENAME COLUMN wrapped TO sealed;
