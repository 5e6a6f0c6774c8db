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

func TestRedacted(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, master(t, 7)); got != "[redacted]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
