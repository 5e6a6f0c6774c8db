package secret_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/diskport/diskport/internal/identity/secret"
)

func master(t testing.TB, b byte) *secret.MasterKey {
	t.Helper()
	k, err := secret.NewMasterKey(bytes.Repeat([]byte{b}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestMasterKey(t *testing.T) {
	k := master(t, 7)
	for _, plain := range [][]byte{nil, []byte("s"), bytes.Repeat([]byte("secret"), 1000)} {
		wrapped := k.Wrap(plain, []byte("what for"))
		if got, err := k.Unwrap(wrapped, []byte("what for")); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unwrapping %d bytes: got %d, %v", len(plain), len(got), err)
		}
		if bytes.Equal(wrapped, k.Wrap(plain, []byte("what for"))) {
			t.Error("two wrappings are equal")
		}
		refused := map[string]func() ([]byte, error){
			"other purpose": func() ([]byte, error) { return k.Unwrap(wrapped, []byte("else")) },
			"other key":     func() ([]byte, error) { return master(t, 8).Unwrap(wrapped, []byte("what for")) },
			"empty":         func() ([]byte, error) { return k.Unwrap(nil, nil) },
			"cut":           func() ([]byte, error) { return k.Unwrap(wrapped[:5], []byte("what for")) },
			"version": func() ([]byte, error) {
				return k.Unwrap(append([]byte{2}, wrapped[1:]...), []byte("what for"))
			},
		}
		for name, unwrap := range refused {
			if _, err := unwrap(); !errors.Is(err, secret.ErrWrapped) {
				t.Errorf("%s: got %v, want ErrWrapped", name, err)
			}
		}
	}
	if _, err := secret.NewMasterKey(make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes was taken")
	}
}

func TestPurposes(t *testing.T) {
	const what = "what for"
	k := master(t, 7)
	tokens := k.For(secret.SessionTokens)
	wrapped := tokens.Wrap([]byte("s"), []byte(what))
	for name, opener := range map[string]secret.Wrapper{"the same": tokens, "the same made again": master(t, 7).For(secret.SessionTokens)} {
		if got, err := opener.Unwrap(wrapped, []byte(what)); err != nil || string(got) != "s" {
			t.Errorf("%s key: got %q, %v", name, got, err)
		}
	}
	asMaster := append([]byte{1}, wrapped[1:]...)
	for name, unwrap := range map[string]func() ([]byte, error){
		"another purpose":              func() ([]byte, error) { return k.For(secret.AccessKeys).Unwrap(wrapped, []byte(what)) },
		"the same of another master":   func() ([]byte, error) { return master(t, 8).For(secret.SessionTokens).Unwrap(wrapped, []byte(what)) },
		"the master key":               func() ([]byte, error) { return k.Unwrap(wrapped, []byte(what)) },
		"the master key, by a lie":     func() ([]byte, error) { return k.Unwrap(asMaster, []byte(what)) },
		"the same, as if the master's": func() ([]byte, error) { return tokens.Unwrap(asMaster, []byte(what)) },
		"the same, nothing":            func() ([]byte, error) { return tokens.Unwrap(nil, []byte(what)) },
	} {
		if _, err := unwrap(); !errors.Is(err, secret.ErrWrapped) {
			t.Errorf("%s: got %v, want ErrWrapped", name, err)
		}
	}
	old := k.Wrap([]byte("from before"), []byte(what))
	if got, err := tokens.Unwrap(old, []byte(what)); err != nil || string(got) != "from before" {
		t.Errorf("what the master key wrapped itself: got %q, %v", got, err)
	}
}

func TestRedacted(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		for _, key := range []any{master(t, 7), master(t, 7).For(secret.URLs)} {
			if got := fmt.Sprintf(verb, key); got != "[redacted]" {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
}
