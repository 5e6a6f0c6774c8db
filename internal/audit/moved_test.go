package audit

import (
	"slices"
	"strings"
	"testing"
)

// TestAnotherBucket: what one bucket has not got goes to the one that is named then, under the
// same keys; meanwhile it can be told that something waits.
func TestAnotherBucket(t *testing.T) {
	dir := t.TempDir()
	fail := func(err error) { t.Error(err) }
	first, second := &bucket{down: true}, &bucket{}
	s := openSpool(t, dir, first, fail)
	for _, name := range []string{`"A"`, `"B"`} {
		if err := s.append([]byte(`{"eventName":` + name + `}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.deliver(t.Context()); err == nil {
		t.Fatal("a bucket that is down has taken records")
	}
	for want := 1; ; want-- {
		if n, err := Waiting(dir); n != want || err != nil {
			t.Errorf("%d files wait, %v, want %d", n, err, want)
		}
		if want == 0 {
			break
		}
		if err := openSpool(t, dir, second, fail).deliver(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	events, keys := second.names()
	if at := "AWSLogs/000000000000/CloudTrail/us-east-1/"; !slices.Equal(events, []string{"A", "B"}) || len(keys) != 1 || !strings.HasPrefix(keys[0], at) {
		t.Errorf("it has %q under %q", events, keys)
	}
	if n, err := Waiting(dir + "/none"); n != 0 || err != nil {
		t.Errorf("where there is no spool: %d, %v", n, err)
	}
}
