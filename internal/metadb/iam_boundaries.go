package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/identity/iam"
)

// setBoundary gives an owner that is locked a permissions boundary, or takes it away if
// arn is empty. The owner is locked before the policy, as in Attach.
func setBoundary(ctx context.Context, q querier, account, owner, arn string) error {
	if arn == "" {
		_, err := exec(ctx, q, `DELETE FROM iam_boundaries WHERE owner = $1`, owner)
		return err
	}
	policyID := ""
	if name := iam.PolicyName(arn); name != "" {
		var err error
		if policyID, err = lockManaged(ctx, q, account, name); err != nil {
			return err
		}
	}
	_, err := exec(ctx, q, `
		INSERT INTO iam_boundaries (owner, account, arn, policy) VALUES ($1, $2, $3, $4)
		ON CONFLICT (owner) DO UPDATE SET arn = excluded.arn, policy = excluded.policy`, owner, account, arn, policyID)
	return err
}

// Bounded implements iam.AttachmentStore.
func (s IAM) Bounded(ctx context.Context, account, arn string) ([]iam.Owner, error) {
	return s.owners(ctx, "iam_boundaries", account, arn)
}
