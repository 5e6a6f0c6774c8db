package metadb

import (
	"testing"

	"github.com/diskport/diskport/internal/iam"
	"github.com/diskport/diskport/internal/iam/iamtest"
)

func TestIAM(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		iamtest.TestStore(t, func(t *testing.T) iam.Store { return fresh(t).IAM() })
	})
}
