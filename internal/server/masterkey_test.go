package server

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/store/frame"
)

// things are what a service has under its master key.
type things struct {
	account, keyID string
	secret         string
	kmsKey         kms.Key
	ciphertext     []byte
	domain         string
	wrapped        []byte // keys of the domain, as a pack has them in its header
}

func fill(t *testing.T, s *service) (x things) {
	t.Helper()
	ctx := t.Context()
	acc, key, err := s.parts.iam.AddAccount(ctx, "")
	check(t, err)
	x.account, x.keyID, x.secret = acc.ID, acc.KeyID, key.Reveal()
	caller := kms.Caller{Region: "us-east-1", Principal: iam.Principal{Account: acc.ID, ARN: "arn:aws:iam::" + acc.ID + ":root", Kind: iam.Root, ID: acc.ID}}
	x.kmsKey, err = s.parts.kms.CreateKey(ctx, caller, kms.KeySpec{})
	check(t, err)
	x.ciphertext, err = s.parts.kms.Encrypt(x.kmsKey, []byte("plain"), nil)
	check(t, err)
	d, _, err := s.parts.ring.Plain(ctx, acc.ID)
	check(t, err)
	x.domain, x.wrapped = d.ID, d.WrappedKeys
	_, _, err = s.parts.ring.Encrypted(ctx, acc.ID, x.kmsKey.ARN())
	check(t, err)
	return x
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opens checks that a service has all things, and answers a signed request.
func (x things) opens(t *testing.T, s *service) {
	t.Helper()
	ctx := t.Context()
	if p, key, err := s.parts.iam.Lookup(ctx, x.keyID, ""); err != nil || key.Reveal() != x.secret || p.Account != x.account {
		t.Errorf("the access key: %v", err)
	}
	k, err := s.parts.kms.ByARN(ctx, x.kmsKey.ARN())
	check(t, err)
	if plain, err := s.parts.kms.Decrypt(k, x.ciphertext, nil); err != nil || string(plain) != "plain" {
		t.Errorf("what the KMS encrypted: %v", err)
	}
	if _, err := s.parts.ring.Keys(ctx, x.domain); err != nil {
		t.Errorf("the domain: %v", err)
	}
	if _, err := frame.Unwrap(s.parts.master, x.wrapped, x.domain); err != nil {
		t.Errorf("the header of an old pack: %v", err)
	}
	body, header := query("GetCallerIdentity", "2011-06-15")
	if status, text := answer(t, s.request(t, "sts", http.MethodPost, "/", body, header)); status != http.StatusOK {
		t.Errorf("a signed request: %d %s", status, text)
	}
}

// only checks that everything in the database is under the key in master.key alone, and
// nothing under the one before.
func (x things) only(t *testing.T, s *service, before []byte) {
	t.Helper()
	key, err := os.ReadFile(s.data.file(masterName))
	check(t, err)
	if bytes.Equal(key, before) {
		t.Error("the key is the same")
	}
	if _, err := os.Stat(s.data.file(nextName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the next key is still there: %v", err)
	}
	now, err := secret.NewMasterKey(key)
	check(t, err)
	then, err := secret.NewMasterKey(before)
	check(t, err)
	n := 0
	see := func(what string, wrapped []byte, now, then secret.Wrapper, bound []byte) {
		n++
		if _, err := now.Unwrap(wrapped, bound); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := then.Unwrap(wrapped, bound); err == nil {
			t.Errorf("%s is under the old key", what)
		}
	}
	ctx, db := t.Context(), s.parts.db
	for _, name := range serviceKeys {
		wrapped, err := db.Secret(ctx, name, func() ([]byte, error) { return nil, errors.New("there is none") })
		check(t, err)
		see(name, wrapped, now, then, []byte(name))
	}
	keys, err := db.KeptKeys().Kept(ctx, nil, 100)
	check(t, err)
	for _, k := range keys {
		see("an access key", k.Wrapped, now.For(secret.AccessKeys), then.For(secret.AccessKeys), iam.AccessKey{Account: k.Owner[0], ID: k.Owner[1]}.Purpose())
	}
	for name, key := range map[string]*secret.MasterKey{"the new": now, "the old": then} {
		service := kms.New(kms.Options{Store: db.KMS(), Wrapper: key.For(secret.KeyMaterial), Principals: s.parts.iam})
		k, err := service.Key(ctx, x.kmsKey.Ref)
		check(t, err)
		if _, err := service.Decrypt(k, x.ciphertext, nil); (err == nil) != (key == now) {
			t.Errorf("what the KMS encrypted, with %s key: %v", name, err)
		}
	}
	all, err := s.parts.ring.Holdings(ctx)
	check(t, err)
	for _, h := range all {
		if h.KMSKey == "" {
			see("a domain", h.WrappedKeys, now, then, []byte("diskport:domain-keys:"+h.ID))
		}
	}
	if n != 5 { // two of the service, two access keys, a domain
		t.Errorf("%d secrets were seen, want 5", n)
	}
}

// TestRotateMaster cuts a rotation off after each of its steps: the service goes on with
// both keys, and ends it at the next start. The last one is not cut off.
func TestRotateMaster(t *testing.T) {
	dir := t.TempDir()
	s := run(t, config(dir))
	x := fill(t, s)
	steps := len(s.rotation())
	for k := 1; k <= steps+1; k++ {
		before, err := os.ReadFile(s.data.file(masterName))
		check(t, err)
		if k <= steps {
			for _, step := range s.rotation()[:k] {
				_, err := step(context.WithoutCancel(t.Context()))
				check(t, err)
			}
			x.opens(t, s)
			s.end(t)
			s = run(t, config(dir))
		} else if n, err := s.RotateMaster(t.Context()); n != 6 || err != nil {
			t.Errorf("%d secrets, %v", n, err)
		}
		x.opens(t, s)
		x.only(t, s, before)
	}
}

// TestFormerMasterKeys: they open with the present key alone, and a damaged file is refused
// by name.
func TestFormerMasterKeys(t *testing.T) {
	s := run(t, config(t.TempDir()))
	for range 2 {
		_, err := s.RotateMaster(t.Context())
		check(t, err)
	}
	data := s.data
	former, err := os.ReadFile(data.file(formerName))
	if err != nil || len(former) != 2*formerSize {
		t.Fatalf("%d bytes of former keys, %v", len(former), err)
	}
	if keys, err := data.masterKeys(); err != nil || len(keys) != 3 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if st, err := os.Stat(data.file(formerName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	for name, p := range map[string][]byte{"cut": former[:len(former)-1], "changed": append([]byte{9}, former[1:]...)} {
		check(t, os.WriteFile(data.file(formerName), p, 0o600))
		if _, err := data.masterKeys(); !errors.Is(err, secret.ErrWrapped) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMasterKeyOfAnotherDatabase is refused by the name of the file to put back.
func TestMasterKeyOfAnotherDatabase(t *testing.T) {
	dir := t.TempDir()
	s := run(t, config(dir))
	file := s.data.file(masterName)
	s.end(t)
	check(t, os.WriteFile(file, bytes.Repeat([]byte{7}, secret.KeySize), 0o600))
	_, err := New(t.Context(), config(dir))
	if !errors.Is(err, secret.ErrWrapped) || !strings.Contains(err.Error(), "put back the master.key that belongs to this database") {
		t.Errorf("it was opened: %v", err)
	}
}
