package diskport_test

import (
	"os"
	"regexp"
	"testing"
)

// named matches what ARCHITECTURE.md writes as a path: `internal/x/y.go`, `cmd/`.
var named = regexp.MustCompile("`((?:[a-z0-9_.-]+/)+[A-Za-z0-9_.-]*|[A-Za-z0-9_-]+\\.(?:go|md|yml)|Makefile)`")

func TestArchitectureNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	found := named.FindAllSubmatch(text, -1)
	if len(found) < 20 {
		t.Fatalf("ARCHITECTURE.md names %d files; the pattern or the page is broken", len(found))
	}
	for _, m := range found {
		if _, err := os.Stat(string(m[1])); err != nil {
			t.Errorf("ARCHITECTURE.md names %s: %v", m[1], err)
		}
	}
}
