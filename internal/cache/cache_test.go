package cache

import (
	"errors"
	"slices"
	"sync"
	"testing"
)

// keys records what is loaded: every value is its key.
type keys []string

func (k *keys) load(key string) func() (string, error) {
	return func() (string, error) {
		*k = append(*k, key)
		return key, nil
	}
}

func TestTheLeastRecentlyUsedGoes(t *testing.T) {
	c := New[string, string](2)
	var loaded keys
	for _, key := range []string{"a", "b", "a", "c", "a", "b"} { // c drops b, b drops c
		if got, err := c.Get(key, loaded.load(key)); got != key || err != nil {
			t.Errorf("Get(%q) = %q, %v", key, got, err)
		}
	}
	if want := []string{"a", "b", "c", "b"}; !slices.Equal(loaded, want) {
		t.Errorf("loaded %q, want %q", loaded, want)
	}
}

func TestFind(t *testing.T) {
	c := New[string, string](2)
	if got, ok := c.Find("a"); ok {
		t.Errorf("found %q in an empty cache", got)
	}
	var loaded keys
	for _, key := range []string{"a", "b"} {
		_, _ = c.Get(key, loaded.load(key))
	}
	if got, ok := c.Find("a"); got != "a" || !ok {
		t.Errorf("Find = %q, %v", got, ok)
	}
	_, _ = c.Get("c", loaded.load("c")) // drops b: a was found after it
	if _, ok := c.Find("b"); ok {
		t.Error("found what was dropped")
	}
	if got, ok := c.Find("a"); got != "a" || !ok {
		t.Errorf("Find = %q, %v: it was used last", got, ok)
	}
	_, _ = c.Get("d", func() (string, error) { return "", errors.New("input/output error") })
	if got, ok := c.Find("d"); ok {
		t.Errorf("found %q, which failed to load", got)
	}
}

func TestAFailureIsNotKept(t *testing.T) {
	c := New[string, string](2)
	broken := errors.New("input/output error")
	if _, err := c.Get("a", func() (string, error) { return "", broken }); !errors.Is(err, broken) {
		t.Errorf("Get = %v, want the error of load", err)
	}
	var loaded keys
	if got, err := c.Get("a", loaded.load("a")); got != "a" || err != nil || len(loaded) != 1 {
		t.Errorf("after the failure: Get = %q, %v, loaded %q", got, err, loaded)
	}
}

// TestOneLoadOfAKeyAtATime: callers of one key wait for the load that is under way,
// those of another key do not.
func TestOneLoadOfAKeyAtATime(t *testing.T) {
	c := New[string, string](2)
	started, release := make(chan struct{}, 3), make(chan struct{})
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() {
			got, err := c.Get("slow", func() (string, error) {
				started <- struct{}{}
				<-release
				return "slow", nil
			})
			if got != "slow" || err != nil {
				t.Errorf("Get = %q, %v", got, err)
			}
		})
	}
	<-started
	var loaded keys
	if got, err := c.Get("quick", loaded.load("quick")); got != "quick" || err != nil {
		t.Errorf("beside a load that hangs: Get = %q, %v", got, err)
	}
	close(release)
	callers.Wait()
	if more := len(started); more != 0 {
		t.Errorf("the value was loaded %d times, want once", more+1)
	}
}
