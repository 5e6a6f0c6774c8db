-- Ids of accounts that were removed. They are never given again: what others keep
-- may name them still, such as ciphertexts, shares and policies.

-- +goose Up
CREATE TABLE removed_accounts (
	account TEXT PRIMARY KEY,
	removed BIGINT NOT NULL
);
-- Of those removed before, what is known: their dedupe domains stay.
INSERT INTO removed_accounts (account, removed)
SELECT DISTINCT d.account, 0 FROM domains d
WHERE NOT EXISTS (SELECT 1 FROM iam_keys k WHERE k.account = d.account AND k.user_id = '');

-- +goose Down
DROP TABLE removed_accounts;
