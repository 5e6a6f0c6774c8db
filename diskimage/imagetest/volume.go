package imagetest

import "testing"

// Volume marks a test whose point is the volume of data that one goroutine decodes.
// Under the race detector it would take ten times as long and find nothing more, so
// there it is left out. The tests are also run without the race detector; `make
// test` fails when a test was left out of both.
func Volume(t testing.TB) {
	t.Helper()
	if raceEnabled {
		t.Skip("a test of volume: runs without the race detector")
	}
}
