package kms_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/secret"
)

// TestRewrap: the material is under the new key alone, and is the same.
func TestRewrap(t *testing.T) {
	ctx, older, newer := t.Context(), bytes.Repeat([]byte{1}, secret.KeySize), bytes.Repeat([]byte{2}, secret.KeySize)
	store := &kmstest.Memory{}
	with := func(key []byte, others ...[]byte) *kms.Service {
		m, err := secret.NewMasterKey(key, others...)
		if err != nil {
			t.Fatal(err)
		}
		return kms.New(kms.Options{Store: store, Wrapper: m.For(secret.KeyMaterial), Principals: kmstest.Names{}})
	}
	const account = "111111111111"
	who := kms.Caller{Region: "us-east-1", Principal: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}}
	before := with(older)
	k, err := before.CreateKey(ctx, who, kms.KeySpec{})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := before.CreateKey(ctx, who, kms.KeySpec{Origin: kms.External})
	if err != nil {
		t.Fatal(err)
	}
	blob, err := before.Encrypt(k, []byte("plain"), nil)
	if err != nil {
		t.Fatal(err)
	}
	both := with(newer, older)
	for _, r := range []kms.Ref{k.Ref, k.Ref, empty.Ref, {Account: account, Region: "us-east-1", ID: "gone"}} {
		if err := both.Rewrap(ctx, r); err != nil {
			t.Errorf("%s: %v", r.ID, err)
		}
	}
	for name, c := range map[string]struct {
		service *kms.Service
		opens   bool
	}{"the new key": {with(newer), true}, "the old one": {before, false}} {
		k, err := c.service.Key(ctx, k.Ref)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.service.Decrypt(k, blob, nil); (err == nil) != c.opens {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := before.Rewrap(ctx, k.Ref); !errors.Is(err, secret.ErrWrapped) {
		t.Errorf("without the key that it is under: %v", err)
	}
	if k, err = both.Key(ctx, k.Ref); err == nil {
		_, err = both.Decrypt(k, blob, nil)
	}
	if err != nil {
		t.Errorf("after that: %v", err)
	}
}
