package secret_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/diskport/diskport/internal/identity/secret"
)

// TestAdopt: the new key wraps, also for purposes whose keys were taken before, and old ones
// open what they wrapped.
func TestAdopt(t *testing.T) {
	k := master(t, 1)
	for _, pair := range []struct {
		name string
		w    secret.Wrapper
		of   func(*secret.MasterKey) secret.Wrapper
	}{
		{"master", k, func(k *secret.MasterKey) secret.Wrapper { return k }},
		{"purpose", k.For(secret.URLs), func(k *secret.MasterKey) secret.Wrapper { return k.For(secret.URLs) }},
	} {
		before := pair.w.Wrap([]byte("before"), nil)
		if err := k.Adopt(bytes.Repeat([]byte{2}, secret.KeySize)); err != nil {
			t.Fatal(err)
		}
		after := pair.w.Wrap([]byte("after"), nil)
		older, err := secret.NewMasterKey(bytes.Repeat([]byte{2}, secret.KeySize), bytes.Repeat([]byte{1}, secret.KeySize))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name          string
			w             secret.Wrapper
			before, later bool
		}{
			{"the same", pair.w, true, true},
			{"the new one with the older", pair.of(older), true, true},
			{"the new one alone", pair.of(master(t, 2)), pair.name == "purpose", true},
			{"the old one alone", pair.of(master(t, 1)), pair.name == "master", false},
		} {
			if _, err := c.w.Unwrap(before, nil); (err == nil) != c.before {
				t.Errorf("%s: %s, of what was before: %v", pair.name, c.name, err)
			}
			if _, err := c.w.Unwrap(after, nil); (err == nil) != c.later {
				t.Errorf("%s: %s, of what came after: %v", pair.name, c.name, err)
			}
		}
	}
	if err := k.Adopt([]byte("short")); err == nil {
		t.Error("a short key was adopted")
	}
}

// shelf keeps secrets in memory, by their owners.
type shelf struct {
	owners  []string
	wrapped map[string][]byte
	fail    string // replacing that of this owner fails
}

func (s *shelf) Kept(_ context.Context, after []string, limit int) (list []secret.Kept, _ error) {
	for _, o := range s.owners {
		if (after == nil || o > after[0]) && len(list) < limit {
			list = append(list, secret.Kept{Owner: []string{o}, Wrapped: s.wrapped[o]})
		}
	}
	return list, nil
}

var errShelf = errors.New("the shelf broke")

func (s *shelf) Replace(_ context.Context, k secret.Kept, wrapped []byte) error {
	if k.Owner[0] == s.fail {
		return errShelf
	}
	s.wrapped[k.Owner[0]] = wrapped
	return nil
}

// TestRewrap: all of many secrets are under the new key, at last if not at once.
func TestRewrap(t *testing.T) {
	k, s := master(t, 1), &shelf{wrapped: map[string][]byte{}}
	owner := func(o []string) []byte { return []byte("of " + o[0]) }
	for i := range 600 {
		o := fmt.Sprintf("%04d", i)
		s.owners = append(s.owners, o)
		s.wrapped[o] = k.Wrap([]byte(o), owner([]string{o}))
	}
	if err := k.Adopt(bytes.Repeat([]byte{2}, secret.KeySize)); err != nil {
		t.Fatal(err)
	}
	s.fail = "0300"
	if n, err := secret.Rewrap(t.Context(), s, k, owner); n != 300 || !errors.Is(err, errShelf) {
		t.Errorf("a broken shelf: %d, %v", n, err)
	}
	s.fail = ""
	if n, err := secret.Rewrap(t.Context(), s, k, owner); n != 600 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, o := range s.owners {
		if got, err := master(t, 2).Unwrap(s.wrapped[o], owner([]string{o})); err != nil || string(got) != o {
			t.Errorf("%s: %v", o, err)
		}
	}
	s.wrapped["0007"] = slices.Clone(s.wrapped["0008"])
	if _, err := secret.Rewrap(t.Context(), s, k, owner); !errors.Is(err, secret.ErrWrapped) {
		t.Errorf("a wrong row: %v", err)
	}
}
