package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/store/blockstore"
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

// TestRotateMasterUnderImages: the disks that came in one OVA share a Url, which is wrapped
// for the first of them.
func TestRotateMasterUnderImages(t *testing.T) {
	s := run(t, config(t.TempDir()))
	const id, url = "import-ami-0123456789abcdef0", "s3://images/vm.ova"
	urls := s.parts.master.For(secret.URLs)
	task := importtask.ImageTask{ID: id, Account: "000000000000", Region: "us-east-1", State: importtask.Active}
	for _, p := range []importtask.Place{{Container: 1, Disk: 1}, {Container: 1, Disk: 2}, {Container: 12, Disk: 1}} {
		disk := importtask.Task{ID: importtask.DiskID(id, p), Account: task.Account, Region: task.Region, ImageTask: id, Place: p}
		disk.WrappedURL = urls.Wrap([]byte(url), []byte(importtask.DiskID(id, importtask.Place{Container: p.Container, Disk: 1})))
		task.Disks = append(task.Disks, disk)
	}
	_, _, err := s.parts.db.Tasks().CreateImage(t.Context(), task, 1)
	check(t, err)
	_, err = s.RotateMaster(t.Context())
	check(t, err)
	kept, err := s.parts.db.KeptURLs().Kept(t.Context(), nil, 10)
	check(t, err)
	stored, err := s.parts.imports.ImageTask(t.Context(), awsid.Home{Account: task.Account, Region: task.Region}, id)
	check(t, err)
	for i, d := range stored.Disks {
		if got := s.parts.imports.URL(d); got != url || bytes.Equal(kept[i].Wrapped, task.Disks[i].WrappedURL) {
			t.Errorf("the Url of %s is %q, wrapped anew: %v", d.ID, got, !bytes.Equal(kept[i].Wrapped, task.Disks[i].WrappedURL))
		}
	}
	if len(kept) != 3 || len(stored.Disks) != 3 {
		t.Errorf("%d Urls of %d disks, want 3 of 3", len(kept), len(stored.Disks))
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

// TestANextMasterKeyThatIsNotInUse: the file of the next key is in place, but the call that
// made it failed then, as it does when the directory can't be synced. Another call takes the
// key into use before it wraps anything.
func TestANextMasterKeyThatIsNotInUse(t *testing.T) {
	s := run(t, config(t.TempDir()))
	x := fill(t, s)
	before, err := os.ReadFile(s.data.file(masterName))
	check(t, err)
	check(t, writeNew(s.data.file(nextName), bytes.Repeat([]byte{7}, secret.KeySize), 0o600))
	if _, err := s.RotateMaster(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.opens(t, s)
	x.only(t, s, before)
}

// TestRotateMasterAfterMaterial: keys of the KMS that were rotated open what they encrypted
// with any version of their material, and so do domains under them, after the master key was
// replaced, cut off at any step that wraps, and after the next start.
func TestRotateMasterAfterMaterial(t *testing.T) {
	dir := t.TempDir()
	s := run(t, config(dir))
	x := fill(t, s)
	ctx := t.Context()
	d, keys, err := s.parts.ring.Encrypted(ctx, x.account, x.kmsKey.ARN())
	check(t, err)
	var digest block.Digest
	id := keys.BlockID(digest)
	ciphertexts := map[string][]byte{"version 1": x.ciphertext}
	headers := map[string]blockstore.Domain{"version 1": d}
	for _, version := range []string{"version 2", "version 3"} {
		check(t, s.parts.kms.RotateNow(ctx, x.kmsKey.Ref))
		k, err := s.parts.kms.Key(ctx, x.kmsKey.Ref)
		check(t, err)
		ciphertexts[version], err = s.parts.kms.Encrypt(k, []byte("plain"), kms.EncryptionContext{"of": version})
		check(t, err)
		headers[version], err = s.parts.ring.Rewrap(ctx, d.ID)
		check(t, err)
		if bytes.Equal(headers[version].WrappedKeys, d.WrappedKeys) {
			t.Errorf("%s: nothing was wrapped anew", version)
		}
	}
	opens := func(when string) {
		t.Helper()
		k, err := s.parts.kms.Key(ctx, x.kmsKey.Ref)
		check(t, err)
		for version, blob := range ciphertexts {
			bound := kms.EncryptionContext{"of": version}
			if version == "version 1" {
				bound = nil
			}
			if plain, err := s.parts.kms.Decrypt(k, blob, bound); err != nil || string(plain) != "plain" {
				t.Errorf("%s: a ciphertext of %s: %q, %v", when, version, plain, err)
			}
			keys, err := s.parts.ring.Unwrap(ctx, headers[version])
			if err != nil || keys.BlockID(digest) != id {
				t.Errorf("%s: the header of a pack under %s: %v", when, version, err)
			}
		}
		if keys, err := s.parts.ring.Keys(ctx, d.ID); err != nil || keys.BlockID(digest) != id {
			t.Errorf("%s: the domain: %v", when, err)
		}
	}
	steps := len(s.rotation())
	for _, k := range []int{steps - 4, steps} { // before the material is wrapped anew, and all
		before, err := os.ReadFile(s.data.file(masterName))
		check(t, err)
		for _, step := range s.rotation()[:k] {
			_, err := step(context.WithoutCancel(ctx))
			check(t, err)
		}
		opens(fmt.Sprintf("after step %d", k))
		s.end(t)
		s = run(t, config(dir))
		opens(fmt.Sprintf("a start after step %d", k))
		x.only(t, s, before)
	}
	old, err := secret.NewMasterKey(bytes.Repeat([]byte{7}, secret.KeySize))
	check(t, err)
	now, err := os.ReadFile(s.data.file(masterName))
	check(t, err)
	alone, err := secret.NewMasterKey(now)
	check(t, err)
	for name, key := range map[string]*secret.MasterKey{"another key": old, "the present key alone": alone} {
		service := kms.New(kms.Options{Store: s.parts.db.KMS(), Wrapper: key.For(secret.KeyMaterial), Principals: s.parts.iam})
		k, err := service.Key(ctx, x.kmsKey.Ref)
		check(t, err)
		for _, version := range []string{"version 2", "version 3"} {
			if _, err := service.Decrypt(k, ciphertexts[version], kms.EncryptionContext{"of": version}); (err == nil) != (key == alone) {
				t.Errorf("with %s, a ciphertext of %s: %v", name, version, err)
			}
		}
	}
}

// TestOlderDatabaseBesideNewerMasterKey: a database from before two rotations is put back. All
// in it opens, and the next rotation has it under the present key alone.
func TestOlderDatabaseBesideNewerMasterKey(t *testing.T) {
	dir := t.TempDir()
	s := run(t, config(dir))
	x := fill(t, s)
	path := s.data.file(databaseName)
	s.end(t)
	older, err := os.ReadFile(path)
	check(t, err)
	s = run(t, config(dir))
	for range 2 {
		_, err := s.RotateMaster(t.Context())
		check(t, err)
	}
	s.end(t)
	check(t, os.WriteFile(path, older, 0o600))
	cfg := config(dir)
	cfg.AcceptOlderDatabase = true
	s = run(t, cfg)
	x.opens(t, s)
	before, err := os.ReadFile(s.data.file(masterName))
	check(t, err)
	_, err = s.RotateMaster(t.Context())
	check(t, err)
	x.opens(t, s)
	x.only(t, s, before)
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
