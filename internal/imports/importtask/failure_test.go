package importtask

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/keyring"
)

func TestFailuresOfWhatIsAround(t *testing.T) {
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
		{fmt.Errorf("%w: %w", source.ErrKey, &keyring.Error{Reason: keyring.Disabled}), "source-key", true},
		{&space.FullError{}, "store-full", true}, // after it waited
	} {
		t.Run(tt.reason, func(t *testing.T) {
			f, final := FailureOf(fmt.Errorf("reading: %w", tt.err))
			if f.Reason != tt.reason || final != tt.final || f.Message == "" {
				t.Errorf("%+v, final %t", f, final)
			}
		})
	}
}

// A task that got something else than a disk says what it got, and how to insist.
func TestFailureOfWhatIsNoDisk(t *testing.T) {
	_, err := detect.Open(bytes.NewReader([]byte("%PDF-1.7\n")), 9, detect.Options{Name: "scan.pdf"})
	f, final := FailureOf(err)
	if !final || f.Reason != "image-not-a-disk" || !strings.HasPrefix(f.Message, "ClientError: Disk validation failed [Unsupported specified file format: ") {
		t.Errorf("%+v, final %t", f, final)
	}
	for _, word := range []string{"a PDF document", "Format=RAW"} {
		if !strings.Contains(f.Message, word) {
			t.Errorf("%q does not say %q", f.Message, word)
		}
	}
	if !strings.Contains(f.Hint, "--format raw") {
		t.Errorf("hint %q", f.Hint)
	}
}

// An object without a byte is an upload that went wrong; naming another format
// would not help.
func TestFailureOfAnEmptyObject(t *testing.T) {
	_, err := detect.Open(bytes.NewReader(nil), 0, detect.Options{Format: "raw"})
	f, final := FailureOf(err)
	if !final || f.Reason != "image-empty" || strings.Contains(f.Hint, "Format") {
		t.Errorf("%+v, final %t, of %v", f, final, err)
	}
}
