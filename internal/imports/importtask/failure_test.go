package importtask

import (
	"fmt"
	"testing"

	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/keyring"
)

func TestFailuresOfWhatIsElsewhere(t *testing.T) {
	for _, tt := range []struct {
		err    error
		reason string
		final  bool
	}{
		{source.ErrUnavailable, "source-unavailable", false},
		{keyring.ErrUnavailable, "kms-unavailable", false},
		{source.ErrRole, "role-not-assumable", true},
		{source.ErrChanged, "source-changed", true},
		{source.ErrNotFound, "source-missing", true},
		{source.ErrNoAccess, "source-forbidden", true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			f, final := FailureOf(fmt.Errorf("reading: %w", tt.err))
			if f.Reason != tt.reason || final != tt.final || f.Message == "" {
				t.Errorf("%+v, final %t", f, final)
			}
		})
	}
}
