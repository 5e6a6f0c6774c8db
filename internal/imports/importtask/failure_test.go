package importtask

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blockstore"
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
		{blockstore.ErrUnavailable, "store-unavailable", false},
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

// TestNoPermissionHelpsAgainstAnS3WithoutRanges, so none is advised.
func TestNoPermissionHelpsAgainstAnS3WithoutRanges(t *testing.T) {
	f, final := FailureOf(fmt.Errorf("reading: %w", source.ErrNoRanges))
	if !final || f.Reason != "source-forbidden" || strings.Contains(f.Hint, "s3:GetObject") || !strings.Contains(f.Hint, "ranges") {
		t.Errorf("%+v, final %t", f, final)
	}
}

// TestTheAlertKnowsTheServersFailures: all of those, and nothing that users do; and each is
// counted from 0 on, since a counter that begins at 1 has not increased to Prometheus.
func TestTheAlertKnowsTheServersFailures(t *testing.T) {
	table, err := os.ReadFile("failure.go")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../../../deploy/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(string(table)) {
		for _, m := range regexp.MustCompile(`(?:"ServerError|internalError|tooSlow)[^{}]*, (?:Reason: )?"([a-z-]+)"`).FindAllStringSubmatch(line, -1) {
			found[m[1]] = true
		}
	}
	for _, f := range []Failure{storeFull(&FullError{}), scratchFull(&scratch.FullError{}), unread(nil), stuck(nil), poison(nil), panicked(nil)} {
		found[f.Reason] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(found)), serverReasons); diff != "" {
		t.Errorf("serverReasons (-the table +listed):\n%s", diff)
	}
	alert := regexp.MustCompile(`diskport_imports_total\{reason=~"([^"]*)"`).FindSubmatch(rules)
	if alert == nil {
		t.Fatal("no alert is about imports that fail")
	}
	alerted := strings.Split(string(alert[1]), "|")
	slices.Sort(alerted)
	if diff := cmp.Diff(serverReasons, alerted); diff != "" {
		t.Errorf("the alert (-reasons +alerted):\n%s", diff)
	}
	reg := prometheus.NewPedanticRegistry()
	NewMetrics(reg)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "diskport_imports_total" && len(f.GetMetric()) == len(serverReasons) {
			return
		}
	}
	t.Error("not every reason is counted from the start")
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
