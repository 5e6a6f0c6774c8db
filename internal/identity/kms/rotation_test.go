package kms_test

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/identity/kms"
)

const day = 24 * time.Hour

// again reads a key anew.
func (b *bench) again(t *testing.T, k kms.Key) kms.Key {
	t.Helper()
	k, err := b.Key(t.Context(), k.Ref)
	check(t, "read", err)
	return k
}

// version returns the version of the material that a ciphertext names.
func version(blob []byte) int { return int(binary.BigEndian.Uint32(blob[5:])) }

// TestRotationKeepsOldCiphertexts: new ciphertexts name the new material, old ones stay
// good, and none is good for another version.
func TestRotationKeepsOldCiphertexts(t *testing.T) {
	b, ctx := open(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	bound := kms.EncryptionContext{"for": "test"}
	var blobs [][]byte
	materials := map[string]bool{}
	for n := range 3 {
		if n > 0 {
			check(t, "rotate", b.RotateNow(ctx, k.Ref))
			k = b.again(t, k)
		}
		blob, err := b.Encrypt(k, []byte{byte(n)}, bound)
		check(t, "encrypt", err)
		if version(blob) != n+1 || k.Version() != n+1 || kms.MaterialOf(k, blob) != k.MaterialID(n+1) {
			t.Errorf("rotation %d: ciphertext of version %d, key of version %d", n, version(blob), k.Version())
		}
		blobs = append(blobs, blob)
		materials[k.MaterialID(n+1)] = true
	}
	if len(materials) != 3 || len(k.Rotations) != 2 || bytes.Equal(k.Rotations[0].Wrapped, k.Rotations[1].Wrapped) || k.Rotations[1].Type != kms.OnDemand {
		t.Errorf("materials %v, rotations %+v", materials, k.Rotations)
	}
	for n, blob := range blobs {
		plain, err := b.Decrypt(k, blob, bound)
		if err != nil || len(plain) != 1 || plain[0] != byte(n) {
			t.Errorf("version %d decrypts to %v, %v", n+1, plain, err)
		}
		for other := range 5 { // another version, one that is to come, and none
			forged := bytes.Clone(blob)
			binary.BigEndian.PutUint32(forged[5:], uint32(other))
			if other != n+1 {
				_, err := b.Decrypt(k, forged, bound)
				refused(t, "another version", err, kms.ErrInvalidCiphertext)
			}
		}
	}
	stranger := b.key(t, kms.KeySpec{})
	_, err := b.Decrypt(stranger, blobs[2], bound)
	refused(t, "another key", err, kms.ErrIncorrectKey)
}

// TestAutomaticRotation walks through the years of a key.
func TestAutomaticRotation(t *testing.T) {
	b, ctx := open(t), t.Context()
	k, free := b.key(t, kms.KeySpec{}), b.key(t, kms.KeySpec{})
	check(t, "enable", b.EnableRotation(ctx, k.Ref, 100))
	began := b.now
	run := func(what string, want int) {
		t.Helper()
		if n, err := b.RotateOverdue(ctx); err != nil || n != want {
			t.Errorf("%s: rotated %d, %v, want %d", what, n, err, want)
		}
	}
	run("at once", 0)
	b.now = began.Add(100*day - time.Microsecond)
	run("too early", 0)
	b.now = began.Add(100 * day)
	b.lag = time.Hour
	run("by a clock that is not believed", 0)
	b.lag = 0
	run("in time", 1)
	run("again", 0)
	got := b.again(t, k)
	if got.Version() != 2 || got.Rotations[0].Type != kms.Automatic || !got.Rotations[0].At.Equal(b.now) || !got.NextRotation.Equal(b.now.Add(100*day)) {
		t.Errorf("rotated %+v, next %v", got.Rotations, got.NextRotation)
	}
	b.now = began.Add(1000 * day)
	check(t, "disable", b.SetEnabled(ctx, k.Ref, kms.Disable))
	run("a disabled key", 0)
	check(t, "enable", b.SetEnabled(ctx, k.Ref, kms.Enable))
	run("years late, but once", 1)
	_, err := b.ScheduleDeletion(ctx, k.Ref, 30)
	check(t, "schedule", err)
	if on, err := b.again(t, k).Rotates(); on || err != nil {
		t.Errorf("a key that is to be deleted rotates: %v, %v", on, err)
	}
	b.now = b.now.Add(10 * day)
	check(t, "cancel", b.CancelDeletion(ctx, k.Ref))
	check(t, "enable", b.SetEnabled(ctx, k.Ref, kms.Enable))
	if on, err := b.again(t, k).Rotates(); !on || err != nil {
		t.Errorf("the key does not rotate any more: %v, %v", on, err)
	}
	check(t, "the same period", b.EnableRotation(ctx, k.Ref, 100))
	if next := b.again(t, k).NextRotation; !next.Equal(began.Add(1100 * day)) {
		t.Errorf("next %v", next)
	}
	check(t, "another period", b.EnableRotation(ctx, k.Ref, 0))
	if got := b.again(t, k); got.RotationPeriod != 365 || !got.NextRotation.Equal(b.now.Add(365*day)) {
		t.Errorf("every %d days, next %v", got.RotationPeriod, got.NextRotation)
	}
	check(t, "end it", b.DisableRotation(ctx, k.Ref))
	b.now = b.now.Add(9999 * day)
	run("without a period", 0)
	if b.again(t, free).Version() != 1 {
		t.Error("a key was rotated that nobody asked for")
	}
}

func TestRotationRefusals(t *testing.T) {
	b, ctx := open(t), t.Context()
	on := func(n kms.KeySpec) kms.Ref { return b.key(t, n).Ref }
	disabled, going := on(kms.KeySpec{}), on(kms.KeySpec{})
	check(t, "disable", b.SetEnabled(ctx, disabled, kms.Disable))
	_, err := b.ScheduleDeletion(ctx, going, 7)
	check(t, "schedule", err)
	for what, c := range map[string]struct {
		key  kms.Ref
		want error
	}{
		"RSA": {on(kms.KeySpec{Spec: "RSA_2048", Usage: "SIGN_VERIFY"}), kms.ErrUnsupported}, "HMAC": {on(kms.KeySpec{Spec: "HMAC_256", Usage: "GENERATE_VERIFY_MAC"}), kms.ErrUnsupported},
		"imported": {on(kms.KeySpec{Origin: kms.External}), kms.ErrUnsupported}, "disabled": {disabled, kms.ErrDisabled}, "pending deletion": {going, kms.ErrState},
		"none": {kms.Ref{Account: account, Region: region, ID: "12345678-1234-1234-1234-123456789012"}, kms.ErrNotFound},
	} {
		refused(t, "enable: "+what, b.EnableRotation(ctx, c.key, 365), c.want)
		refused(t, "disable: "+what, b.DisableRotation(ctx, c.key), c.want)
		refused(t, "rotate: "+what, b.RotateNow(ctx, c.key), c.want)
	}
	k := on(kms.KeySpec{})
	for _, days := range []int{-1, 1, 89, 2561} {
		refused(t, "period", b.EnableRotation(ctx, k, days), kms.ErrValidation)
	}
	for range 25 {
		check(t, "rotate", b.RotateNow(ctx, k))
	}
	refused(t, "a 26th time", b.RotateNow(ctx, k), kms.ErrLimit)
}

// TestManagedKeysRotate: as at AWS, those that it manages are rotated once in a year.
func TestManagedKeysRotate(t *testing.T) {
	b, ctx := open(t), t.Context()
	made, err := b.Open(ctx, root(account), kms.Ask{Action: "kms:DescribeKey", Key: kms.EBSAlias})
	check(t, "make", err)
	if on, err := made.Key.Rotates(); !on || err != nil || made.Key.RotationPeriod != 365 {
		t.Errorf("rotates %v, %v, every %d days", on, err, made.Key.RotationPeriod)
	}
	b.now = b.now.Add(365 * day)
	if n, err := b.RotateOverdue(ctx); err != nil || n != 1 {
		t.Errorf("rotated %d, %v", n, err)
	}
}

// TestManyOverdueKeys: more than are looked for at once.
func TestManyOverdueKeys(t *testing.T) {
	b, ctx := open(t), t.Context()
	const many = 150
	for range many {
		check(t, "enable", b.EnableRotation(ctx, b.key(t, kms.KeySpec{}).Ref, 90))
	}
	b.now = b.now.Add(90 * day)
	if n, err := b.RotateOverdue(ctx); err != nil || n != many {
		t.Errorf("rotated %d, %v, want %d", n, err, many)
	}
}
