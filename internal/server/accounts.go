package server

import (
	"github.com/diskport/diskport/internal/identity/iam"
)

// estate counts what accounts own. Tasks that have ended do not count, and neither
// do keys that AWS manages, which can't be deleted.
func (p *parts) estate() iam.Estate {
	return iam.Estate{
		{Kind: "snapshot", Count: p.db.Snapshots().Owned},
		{Kind: "image", Count: p.db.Images().Owned},
		{Kind: "volume", Count: p.db.Volumes().Owned},
		{Kind: "running task", Count: p.db.Tasks().Owned},
		{Kind: "bucket", Count: p.objects.OwnedBuckets},
		{Kind: "KMS key", Count: p.kms.Owned},
	}
}
