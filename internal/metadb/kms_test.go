package metadb

import (
	"testing"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
)

func TestKMS(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		kmstest.TestStore(t, func(t *testing.T) kms.Store { return fresh(t).KMS() })
	})
}
