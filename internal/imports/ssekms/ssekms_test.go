package ssekms_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/ssekms"
	"github.com/diskport/diskport/internal/store/keyring"
)

const account, stranger = "111111111111", "222222222222"

func root(account, region string) kms.Caller {
	return kms.Caller{Region: region, Principal: iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}}
}

// open returns the keys of an embedded KMS.
func open(t *testing.T) (ssekms.Keys, *kms.Service) {
	t.Helper()
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	service := kms.New(kms.Options{Store: &kmstest.Memory{}, Wrapper: master, Principals: kmstest.Names{}})
	return ssekms.Keys{KMS: keyring.Embedded{Service: service}}, service
}

// reason returns why a key can't be used.
func reason(err error) keyring.Reason {
	if e, ok := errors.AsType[*keyring.Error](err); ok {
		return e.Reason
	}
	return ""
}

// TestDataKeysAreBoundToTheirContext: a data key of one object opens no other, whatever
// the rows say.
func TestDataKeysAreBoundToTheirContext(t *testing.T) {
	k, ctx := first(open(t)), t.Context()
	e, err := k.MayEncrypt(ctx, root(account, "us-east-1"), objects.Encryption{Context: ssekms.Context(nil, "arn:aws:s3:::b/k")})
	if err != nil {
		t.Fatal(err)
	}
	key, wrapped, err := k.NewDataKey(ctx, account, e)
	if err != nil || len(key) != 32 {
		t.Fatalf("a key of %d bytes, %v", len(key), err)
	}
	e.DataKey = wrapped
	if got, err := k.OpenDataKey(ctx, account, e); err != nil || !bytes.Equal(got, key) {
		t.Errorf("opened %x, %v", got, err)
	}
	e.Context = ssekms.Context(nil, "arn:aws:s3:::b/other")
	if _, err := k.OpenDataKey(ctx, account, e); reason(err) != keyring.Broken {
		t.Errorf("under the context of another object: %v", err)
	}
	e.Context = "nonsense"
	if _, err := k.OpenDataKey(ctx, account, e); err == nil {
		t.Error("under no context")
	}
}

func first[A, B any](a A, _ B) A { return a }

func TestKeysAreInTheRegionOfTheBucket(t *testing.T) {
	k, service := open(t)
	ctx := t.Context()
	made, err := service.CreateKey(ctx, root(account, "eu-west-1"), kms.KeySpec{})
	if err != nil {
		t.Fatal(err)
	}
	e := objects.Encryption{Key: made.ARN(), Context: ssekms.Context(nil, "arn:aws:s3:::b/k")}
	if _, err := k.MayEncrypt(ctx, root(account, "us-east-1"), e); reason(err) != keyring.NotFound {
		t.Errorf("for a bucket elsewhere: %v", err)
	}
	e, err = k.MayEncrypt(ctx, root(account, "eu-west-1"), e)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.MayDecrypt(ctx, root(account, "us-east-1"), e); err != nil {
		t.Errorf("decryption is where the key is: %v", err)
	}
}

// TestStrangersLearnNothing: who may not use a key is not told whether there is one.
func TestStrangersLearnNothing(t *testing.T) {
	k, ctx := first(open(t)), t.Context()
	e, err := k.MayEncrypt(ctx, root(account, "us-east-1"), objects.Encryption{Context: ssekms.Context(map[string]string{"a": "b"}, "arn:aws:s3:::b/k")})
	if err != nil {
		t.Fatal(err)
	}
	gone := e
	gone.Key = "arn:aws:kms:us-east-1:" + account + ":key/00000000-0000-4000-8000-000000000000"
	for name, e := range map[string]objects.Encryption{"a key": e, "no key": gone} {
		if err := k.MayDecrypt(ctx, root(stranger, "us-east-1"), e); reason(err) != keyring.Denied {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := k.MayEncrypt(ctx, root(stranger, "us-east-1"), e); reason(err) != keyring.Denied {
			t.Errorf("%s, to encrypt: %v", name, err)
		}
	}
	if err := k.MayDecrypt(ctx, root(account, "us-east-1"), gone); reason(err) != keyring.NotFound {
		t.Errorf("to its own account: %v", err)
	}
}
