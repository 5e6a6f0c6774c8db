package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
)

// encrypted returns a domain under a new KMS key.
func (b *bench) encrypted(t *testing.T) (kms.Key, blockstore.Domain, *frame.Keys) {
	t.Helper()
	k := b.key(t, kms.KeySpec{})
	row, keys, err := b.Encrypted(t.Context(), account, k.ARN())
	check(t, "domain", err)
	return k, row, keys
}

// elsewhere is the ring of another process.
func (b *bench) elsewhere() *keyring.Ring {
	return &keyring.Ring{Domains: b.domains, Wrapper: b.wrapper, KMS: b.kms}
}

func between(t *testing.T, what string, k *frame.Keys, err error, oldest, newest uint32) {
	t.Helper()
	check(t, what, err)
	if k.Oldest() != oldest || k.Newest() != newest {
		t.Errorf("%s: data keys %d to %d, want %d to %d", what, k.Oldest(), k.Newest(), oldest, newest)
	}
}

// TestRenew: a writer whose key is used up gets a new one, and those elsewhere the same.
func TestRenew(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx, other := t.Context(), b.elsewhere()
		_, row, _ := b.encrypted(t)
		stale, err := other.Keys(ctx, row.ID)
		between(t, "another process before", stale, err, 0, 0)

		now, keys, err := b.Renew(ctx, row.ID, 0)
		between(t, "renewed", keys, err, 0, 1)
		if now.Newest != 1 || now.Retiring() || bytes.Equal(now.WrappedKeys, row.WrappedKeys) {
			t.Errorf("the domain is %+v", now)
		}
		_, keys, err = b.Renew(ctx, row.ID, 0) // somebody has renewed it
		between(t, "renewed again", keys, err, 0, 1)
		_, keys, err = b.Open(ctx, row.ID)
		between(t, "opened", keys, err, 0, 1)

		keys, err = other.Keys(ctx, row.ID)
		between(t, "another process, which was not told", keys, err, 0, 0)
		keys, err = other.KeysWith(ctx, row.ID, 1)
		between(t, "which has met a frame", keys, err, 0, 1)
		if again, err := other.KeysWith(ctx, row.ID, 1); err != nil || again != keys {
			t.Errorf("which has met another: it opened the keys again, %v", err)
		}
		_, keys, err = other.Renew(ctx, row.ID, 1)
		between(t, "another process renews", keys, err, 0, 2)
		if keys.BlockID(digest) != stale.BlockID(digest) {
			t.Error("a new data key has changed the ids of blocks")
		}
	})
}

// TestRenewedOnce: of many who need a new key at once, all get the same one.
func TestRenewedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		_, row, _ := b.encrypted(t)
		rings := []*keyring.Ring{b.Ring, b.elsewhere()}
		got := make([]blockstore.Domain, 8)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				d, keys, err := rings[i%2].Renew(t.Context(), row.ID, 0)
				if err != nil || keys.Newest() != 1 {
					t.Error(err)
				}
				got[i] = d
			})
		}
		wg.Wait()
		for _, d := range got {
			if d.Newest != 1 || !bytes.Equal(d.WrappedKeys, got[0].WrappedKeys) {
				t.Errorf("one has data key %d, wrapped otherwise than those of another", d.Newest)
			}
		}
	})
}

// TestRotate: all older keys are to go, and go once no pack has them.
func TestRotate(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		_, row, _ := b.encrypted(t)
		_, _, err := b.Renew(ctx, row.ID, 0)
		check(t, "renew", err)
		if d, err := b.Drop(ctx, row.ID); err != nil || d.Oldest != 0 {
			t.Errorf("dropped without being asked: %+v, %v", d, err)
		}
		d, err := b.Rotate(ctx, row.ID)
		if err != nil || d.Newest != 2 || d.Retire != 2 || d.Oldest != 0 {
			t.Errorf("rotated, it is %+v, %v", d, err)
		}
		if again, err := b.Rotate(ctx, row.ID); err != nil || again.Newest != 2 {
			t.Errorf("rotated while that is under way, it is %+v, %v", again, err)
		}
		if ids, err := b.Retiring(ctx); err != nil || len(ids) != 1 || ids[0] != row.ID {
			t.Errorf("retiring are %v, %v", ids, err)
		}
		_, _, err = b.Renew(ctx, row.ID, 2) // used up meanwhile: 2 need not go
		check(t, "renew", err)
		b.domains.addPack(1, row.ID, 1)
		if d, err := b.Drop(ctx, row.ID); err != nil || !d.Retiring() || d.Oldest != 0 {
			t.Errorf("with a pack under key 1: %+v, %v", d, err)
		}
		b.domains.removePack(1)
		b.domains.addPack(2, row.ID, 2)
		if d, err := b.Drop(ctx, row.ID); err != nil || d.Retiring() || d.Oldest != 2 || d.Newest != 3 {
			t.Errorf("with a pack under key 2: %+v, %v", d, err)
		}
		keys, err := b.elsewhere().Keys(ctx, row.ID)
		between(t, "another process", keys, err, 2, 3)
		keys, err = b.Unwrap(ctx, row) // as a pack's header has it
		between(t, "the header of an old pack", keys, err, 0, 0)
	})
}

// TestRewrap: the same keys, under what the KMS makes now.
func TestRewrap(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		_, row, keys := b.encrypted(t)
		d, err := b.Rewrap(ctx, row.ID)
		if err != nil || bytes.Equal(d.WrappedKeys, row.WrappedKeys) || d.Newest != 0 {
			t.Errorf("wrapped anew, it is %+v, %v", d, err)
		}
		again, err := b.elsewhere().Keys(ctx, row.ID)
		check(t, "another process", err)
		if again.BlockID(digest) != keys.BlockID(digest) {
			t.Error("wrapped anew, they are other keys")
		}
	})
}

// TestNothingIsMadeUnderADisabledKey: neither a new data key nor a change of any sort.
func TestNothingIsMadeUnderADisabledKey(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bench) {
		ctx := t.Context()
		k, row, _ := b.encrypted(t)
		_, err := b.Rotate(ctx, row.ID)
		check(t, "rotate", err)
		before, err := b.domains.Domain(ctx, row.ID)
		check(t, "row", err)
		check(t, "disable", b.service.SetEnabled(ctx, k.Ref, kms.Disable))
		b.now = b.now.Add(keyring.StateAge)
		for what, do := range map[string]func() error{
			"renew":  func() error { _, _, err := b.Renew(ctx, row.ID, 1); return err },
			"rotate": func() error { _, err := b.Rotate(ctx, row.ID); return err },
			"drop":   func() error { _, err := b.Drop(ctx, row.ID); return err },
			"rewrap": func() error { _, err := b.Rewrap(ctx, row.ID); return err },
			"unwrap": func() error { _, err := b.Unwrap(ctx, row); return err },
			"a key":  func() error { _, err := b.KeysWith(ctx, row.ID, 7); return err },
		} {
			refused(t, what, do(), keyring.Disabled)
		}
		after, err := b.domains.Domain(ctx, row.ID)
		check(t, "row", err)
		if after.Newest != before.Newest || !bytes.Equal(after.WrappedKeys, before.WrappedKeys) {
			t.Errorf("it is %+v, was %+v", after, before)
		}
	})
}

// TestManyDataKeys: when no more are made, the error says what to do, and that can be done:
// a rotation has room for its key, and for some more if that is used up before it ends.
func TestManyDataKeys(t *testing.T) {
	b := embedded(t)
	ctx := t.Context()
	_, row, _ := b.encrypted(t)
	renew := func() (err error) {
		stale := row.Newest
		row, _, err = b.Renew(ctx, row.ID, stale)
		return err
	}
	full := func(most uint32) {
		t.Helper()
		for row.Newest+1 < most {
			check(t, "renew", renew())
		}
		if err := renew(); !errors.Is(err, frame.ErrManyKeys) || !strings.Contains(err.Error(), "diskport rotate-key --domain "+row.ID) {
			t.Errorf("with %d data keys: %v", row.Newest+1, err)
		}
	}
	full(frame.MaxDataKeys - keyring.SpareKeys)
	d, err := b.Rotate(ctx, row.ID)
	if err != nil || !d.Retiring() || d.Newest != row.Newest+1 {
		t.Errorf("the rotation that helps: %+v, %v", d, err)
	}
	row = d
	full(frame.MaxDataKeys)
}

// TestAChangedRow: a row whose numbers are not those of its keys is refused.
func TestAChangedRow(t *testing.T) {
	b := embedded(t)
	_, row, _ := b.encrypted(t)
	row.Newest = 1
	b.domains.m[row.ID] = row
	if _, err := b.elsewhere().Keys(context.WithoutCancel(t.Context()), row.ID); err == nil || !strings.Contains(err.Error(), "data keys 0 to 1, they are 0 to 0") {
		t.Errorf("got %v", err)
	}
}
