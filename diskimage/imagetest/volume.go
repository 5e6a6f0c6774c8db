package imagetest

import "testing"

// Volume marks a test of large amounts of data that a single goroutine works through:
// an image, rows, the states of a model.
// Under the race detector it would take ten times as long and find nothing more, so
// it is skipped there. The tests are also run without the race detector; `make
// test` fails if a test was skipped in both.
func Volume(t testing.TB) {
	t.Helper()
	if raceEnabled {
		t.Skip("a test of volume: runs without the race detector")
	}
}
