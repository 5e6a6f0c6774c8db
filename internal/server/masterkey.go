package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/logkey"
)

// The files of the master key. The next one is there while the key is being replaced: it
// wraps already, and the other still opens. Replaced keys are kept, wrapped under the
// present one, since packs of unencrypted domains have keys under them in their headers.
const (
	masterName = "master.key"
	nextName   = "master.key.next"
	formerName = "master.key.former"
)

// formerSize is the bytes of a wrapped master key.
const formerSize = 1 + 12 + secret.KeySize + 16

var formerPurpose = []byte("former master key")

// masterKeys returns the bytes of all master keys, that which wraps first. There are none
// before the first start.
func (d *dataDir) masterKeys() (keys [][]byte, err error) {
	files := map[string][]byte{}
	for _, name := range []string{nextName, masterName, formerName} {
		b, err := os.ReadFile(d.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = b
	}
	keys, err = openMaster(files)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	return keys, nil
}

// openMaster is masterKeys of files that were read.
func openMaster(files map[string][]byte) (keys [][]byte, err error) {
	for _, name := range []string{nextName, masterName} {
		if key := files[name]; key != nil {
			keys = append(keys, key)
		}
	}
	wrapped := files[formerName]
	if len(wrapped) == 0 || len(keys) == 0 {
		return keys, nil
	}
	known, err := secret.NewMasterKey(keys[0], keys[1:]...)
	if err != nil {
		return nil, err
	}
	for len(wrapped) > 0 {
		key, err := known.Unwrap(wrapped[:min(formerSize, len(wrapped))], formerPurpose)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read under %s: one of them is damaged, or of another time; put back the two that belong together: %w", formerName, masterName, err)
		}
		keys, wrapped = append(keys, key), wrapped[formerSize:]
	}
	return keys, nil
}

// keepMaster keeps all master keys but the next, wrapped under that.
func (d *dataDir) keepMaster() error {
	keys, err := d.masterKeys()
	if err != nil {
		return err
	}
	next, err := secret.NewMasterKey(keys[0])
	if err != nil {
		return err
	}
	var wrapped []byte
	for i, key := range keys[1:] {
		if !contains(keys[:i+1], key) {
			wrapped = append(wrapped, next.Wrap(key, formerPurpose)...)
		}
	}
	return writeNew(d.file(formerName), wrapped, 0o600)
}

func contains(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

// ErrMasterRotating reports a master key that is being replaced.
var ErrMasterRotating = errors.New("server: the master key is being replaced")

// RotateMaster replaces the master key: everything in the database is wrapped under a new
// one, and the old one is kept under it. It returns how many secrets there were. It may
// be cut off anywhere; the next start, or call, goes on.
func (a *App) RotateMaster(ctx context.Context) (secrets int, err error) {
	select {
	case a.rotating <- struct{}{}:
		defer func() { <-a.rotating }()
	default:
		return 0, ErrMasterRotating
	}
	for _, step := range a.rotation() {
		n, err := step(ctx)
		if err != nil {
			return secrets, fmt.Errorf("server: replacing the master key: %w", err)
		}
		secrets += n
	}
	a.log.InfoContext(ctx, "replaced the master key", "secrets", secrets)
	return secrets, nil
}

// rotation returns the steps of a rotation of the master key, of which any may be the last
// that a process does. Each says how many secrets it has wrapped.
func (a *App) rotation() []func(context.Context) (int, error) {
	if a.cfg.shared() {
		return a.rewrapShared()
	}
	steps := append([]func(context.Context) (int, error){a.beginMaster}, a.rewrapping()...)
	return append(steps,
		func(context.Context) (int, error) { return 0, a.data.keepMaster() },
		func(context.Context) (int, error) { return 0, a.data.replaceMaster() })
}

// rewrapping returns the steps that wrap everything in the database under the key that
// wraps now.
func (a *App) rewrapping() (steps []func(context.Context) (int, error)) {
	master, db := a.parts.master, a.parts.db
	for _, shelf := range []struct {
		secret.Shelf
		under      secret.Wrapper
		associated func(owner []string) []byte
	}{
		{db.KeptSecrets(serviceKeys...), master, func(owner []string) []byte { return []byte(owner[0]) }},
		{db.KeptKeys(), master.For(secret.AccessKeys), func(o []string) []byte { return iam.AccessKey{Account: o[0], ID: o[1]}.Purpose() }},
		{db.KeptURLs(), master.For(secret.URLs), func(o []string) []byte { return []byte(importtask.URLOwner(o[0])) }},
	} {
		steps = append(steps, func(ctx context.Context) (int, error) {
			return secret.Rewrap(ctx, shelf, shelf.under, shelf.associated)
		})
	}
	return append(steps, a.rewrapMaterial, a.rewrapDomains)
}

// beginMaster makes a new master key, unless there is one already, and has everything
// wrapped under it from now on. One that is there may not be in use yet, if the call that
// made it failed after that.
func (a *App) beginMaster(context.Context) (int, error) {
	next, err := os.ReadFile(a.data.file(nextName))
	if errors.Is(err, fs.ErrNotExist) {
		next = make([]byte, secret.KeySize)
		_, _ = rand.Read(next) // never fails
		err = writeNew(a.data.file(nextName), next, 0o600)
	}
	defer clear(next)
	if err != nil {
		return 0, err
	}
	return 0, a.parts.master.Adopt(next)
}

// replaceMaster puts the next master key in the place of the present one.
func (d *dataDir) replaceMaster() error {
	next, err := os.ReadFile(d.file(nextName))
	if err == nil {
		err = writeNew(d.file(masterName), next, 0o600)
	}
	if err == nil {
		err = os.Remove(d.file(nextName))
		failpoint.File(d.file(nextName), "removed")
	}
	return err
}

// rewrapMaterial wraps the material of the embedded KMS.
func (a *App) rewrapMaterial(ctx context.Context) (int, error) {
	return secret.Each(ctx, a.parts.db.KeptMaterial(), func(k secret.Kept) error {
		return a.parts.kms.Rewrap(ctx, kms.Ref{Account: k.Owner[0], Region: k.Owner[1], ID: k.Owner[2]})
	})
}

// rewrapDomains wraps the keys of unencrypted domains; a KMS wraps those of the others.
func (a *App) rewrapDomains(ctx context.Context) (n int, err error) {
	all, err := a.parts.ring.Holdings(ctx)
	for _, h := range all {
		if h.KMSKey != "" {
			continue
		}
		if _, err := a.parts.ring.Rewrap(ctx, h.ID); err != nil {
			return n, err
		}
		n++
	}
	return n, err
}

// resumeMaster ends what an earlier process has begun. A failure is not fatal: both keys
// are there.
func (a *App) resumeMaster(ctx context.Context) {
	if _, err := os.Stat(a.data.file(nextName)); err != nil || a.cfg.shared() {
		return
	}
	if _, err := a.RotateMaster(ctx); err != nil {
		a.log.ErrorContext(ctx, "the master key is not replaced yet: both are in use", logkey.Error, err)
	}
}
