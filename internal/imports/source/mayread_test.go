package source

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/imports/bucketpolicy"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/tag"
)

// Setting implements objects.BucketSettings.
func (m *memory) Setting(_ context.Context, bucket, name string) ([]byte, error) {
	document, ok := m.settings[bucket+"/"+name]
	if !ok {
		return nil, fmt.Errorf("setting %s: %w", name, objects.ErrNoSuchSetting)
	}
	return document, nil
}

// TestNobodyImportsWhatTheyMayNotRead: the bucket's policy counts, and what policies
// may ask about the object.
func TestNobodyImportsWhatTheyMayNotRead(t *testing.T) {
	root := iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}
	tagged, err := policy.Parse(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},`+
		`{"Effect":"Deny","Action":"s3:GetObject","Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/secret":"yes"}}}]}`, policy.Identity)
	if err != nil {
		t.Fatal(err)
	}
	ann := iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":user/ann", Kind: iam.User, ID: "AIDAANN"}
	const statement = `{"Version":"2012-10-17","Statement":{"Effect":"%s","Principal":{"AWS":"AIDAANN"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}}`
	for _, c := range []struct {
		name     string
		who      iam.Principal
		document string
		tags     tag.Set
		kind     Kind
		allowed  bool
	}{
		{"root", root, "", nil, Embedded, true},
		{"a user with no policies", ann, "", nil, Embedded, false},
		{"a user that the bucket lets in", ann, fmt.Sprintf(statement, "Allow"), nil, Embedded, true},
		{"a user that may read all", ann.WithPolicies(tagged), "", nil, Embedded, true},
		{"a user that the bucket keeps out", ann.WithPolicies(tagged), fmt.Sprintf(statement, "Deny"), nil, Embedded, false},
		{"a secret object", ann.WithPolicies(tagged), "", tag.Set{{Key: "secret", Value: "yes"}}, Embedded, false},
		{"an object elsewhere", ann.WithPolicies(tagged), fmt.Sprintf(statement, "Deny"), nil, Foreign, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			if c.document != "" {
				f.store.settings = map[string][]byte{"bucket/" + bucketpolicy.Policy: []byte(c.document)}
			}
			o := f.store.objects["bucket/dir/disk.raw"]
			o.Tags = c.tags
			f.store.objects["bucket/dir/disk.raw"] = o
			err := f.MayRead(t.Context(), c.who, Location{Kind: c.kind, Bucket: "bucket", Key: "dir/disk.raw", content: o.Content}, nil)
			if c.allowed && err != nil || !c.allowed && !errors.Is(err, ErrNoAccess) {
				t.Errorf("got %v, want allowed %t", err, c.allowed)
			}
		})
	}
}

// Object implements objects.ObjectStore.
func (m *memory) Object(_ context.Context, bucket, key, _ string) (objects.Object, error) {
	o, ok := m.objects[bucket+"/"+key]
	if !ok {
		return objects.Object{}, fmt.Errorf("object %s: %w", key, objects.ErrNoSuchObject)
	}
	return o, nil
}

// onlyRoot is an Encryption under a key that root alone may use.
type onlyRoot struct{}

func (onlyRoot) MayDecrypt(_ context.Context, who kms.Caller, e objects.Encryption) error {
	switch {
	case e.Key == "gone":
		return &keyring.Error{Key: e.Key, Reason: keyring.NotFound}
	case who.Principal.Kind != iam.Root:
		return &keyring.Error{Key: e.Key, Reason: keyring.Denied}
	}
	return nil
}

func TestWhoMayDecryptASource(t *testing.T) {
	root := iam.Principal{Account: account, Kind: iam.Root, ID: account}
	ann := iam.Principal{Account: account, Kind: iam.User, ID: "AIDAANN"}
	for name, c := range map[string]struct {
		who  iam.Principal
		key  string // empty: it is not encrypted
		at   Location
		want error
	}{
		"who may use the key":           {root, "key", Location{Kind: Embedded, Key: "dir/disk.raw"}, nil},
		"who may not":                   {ann, "key", Location{Kind: Embedded, Key: "dir/disk.raw"}, ErrNoAccess},
		"who may not, elsewhere":        {ann, "key", Location{Kind: Foreign, Key: "dir/disk.raw"}, nil},
		"who may not, and need not":     {ann, "", Location{Kind: Embedded, Key: "dir/disk.raw"}, nil},
		"a key that is gone, for later": {root, "gone", Location{Kind: Embedded, Key: "dir/disk.raw"}, nil},
		"no object, for later":          {ann, "key", Location{Kind: Embedded, Key: "none"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.Encryption = onlyRoot{}
			if c.key != "" {
				o := f.store.objects["bucket/dir/disk.raw"]
				o.Encryption = objects.Encryption{Algorithm: "aws:kms", Key: c.key, DataKey: []byte{1}}
				f.store.objects["bucket/dir/disk.raw"] = o
			}
			c.at.Bucket, c.at.content = "bucket", f.store.objects["bucket/"+c.at.Key].Content
			if err := f.MayDecrypt(t.Context(), c.who, c.at, nil); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestSignersMustDecrypt: a presigned Url is worth what its signer may do.
func TestSignersMustDecrypt(t *testing.T) {
	f := newFixture(t)
	f.Encryption = onlyRoot{}
	o := f.store.objects["bucket/dir/disk.raw"]
	o.Encryption = objects.Encryption{Algorithm: "aws:kms", Key: "key", DataKey: []byte{1}}
	f.store.objects["bucket/dir/disk.raw"] = o
	for key, want := range map[string]error{"AKID": nil, "USER": ErrNoAccess} {
		req := signedBy("http://127.0.0.1:4580/bucket/dir/disk.raw", key, "us-east-1", now)(t)
		req.Origin = iam.Origin{SourceIP: "10.0.0.1", Secure: true}
		if _, err := f.pin(t, req); !errors.Is(err, want) {
			t.Errorf("signed by %s: %v, want %v", key, err, want)
		}
	}
}

// TestBucketsOfOtherAccounts: a bucket's policy lets principals of other accounts in, for
// imports too, if their own policies do.
func TestBucketsOfOtherAccounts(t *testing.T) {
	const other = "222222222222"
	open := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + other + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::bucket/*"}}`
	root := iam.Principal{Account: other, ARN: "arn:aws:iam::" + other + ":root", Kind: iam.Root, ID: other}
	bob := iam.Principal{Account: other, ARN: "arn:aws:iam::" + other + ":user/bob", Kind: iam.User, ID: "AIDABOB"}
	req := Request{Account: other, Region: "us-east-1", Bucket: "bucket", Key: "dir/disk.raw", OwnHosts: ownHosts, Now: now}
	f := newFixture(t)
	for _, c := range []struct {
		name, document string
		who            iam.Principal
		want           error
	}{
		{"without a policy", "", root, ErrNoAccess},
		{"with one", open, root, nil},
		{"with one, whom their own account keeps out", open, bob, ErrNoAccess},
	} {
		f.store.settings = map[string][]byte{}
		if c.document != "" {
			f.store.settings["bucket/"+bucketpolicy.Policy] = []byte(c.document)
		}
		loc, err := f.Resolve(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.MayRead(t.Context(), c.who, loc, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	f.store.settings["bucket/"+bucketpolicy.Policy] = []byte(open)
	if pin, err := f.pin(t, req); err != nil || pin.Size != 7 {
		t.Errorf("pinned %+v, %v", pin, err)
	}
	if _, err := f.pin(t, signedBy("http://127.0.0.1:4580/bucket/dir/disk.raw", "OTHER", "us-east-1", now)(t)); err != nil {
		t.Errorf("presigned by one of them: %v", err)
	}
}

// TestBucketsThatChangeHands: who is let into a bucket is not let into another one of its
// name.
func TestBucketsThatChangeHands(t *testing.T) {
	f := newFixture(t)
	loc, err := f.Resolve(t.Context(), Request{Account: account, Region: "us-east-1", Bucket: "bucket", Key: "dir/disk.raw", OwnHosts: ownHosts, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	f.upload(t, "bucket", "222222222222", "dir/disk.raw", "theirs")
	if _, err := f.Pin(t.Context(), "import-snap-1", loc); !errors.Is(err, ErrNoAccess) {
		t.Errorf("pinned: %v", err)
	}
}

// TestObjectsThatAreReplaced: what policies and keys say of one object lets nobody read
// another that takes its place meanwhile, nor does it if the first comes back for a moment.
func TestObjectsThatAreReplaced(t *testing.T) {
	root := iam.Principal{Account: account, ARN: "arn:aws:iam::" + account + ":root", Kind: iam.Root, ID: account}
	for name, req := range map[string]Request{
		"by name":   {Account: account, Region: "us-east-1", Bucket: "bucket", Key: "dir/disk.raw", OwnHosts: ownHosts, Now: now},
		"presigned": signedBy("http://127.0.0.1:4580/bucket/dir/disk.raw", "AKID", "us-east-1", now)(t),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.Encryption = onlyRoot{}
			req.OwnHosts = ownHosts
			loc, err := f.Resolve(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			before := f.store.objects["bucket/dir/disk.raw"]
			f.upload(t, "bucket", account, "dir/disk.raw", "another")
			after := f.store.objects["bucket/dir/disk.raw"]
			for name, ask := range map[string]func(context.Context, iam.Principal, Location, policy.Context) error{"read": f.MayRead, "decrypt": f.MayDecrypt} {
				if err := ask(t.Context(), root, loc, nil); !errors.Is(err, ErrNoAccess) {
					t.Errorf("may %s: %v", name, err)
				}
				f.store.objects["bucket/dir/disk.raw"] = before
				if err := ask(t.Context(), root, loc, nil); err != nil {
					t.Errorf("may %s the first: %v", name, err)
				}
				f.store.objects["bucket/dir/disk.raw"] = after
			}
			if _, err := f.Pin(t.Context(), "import-snap-1", loc); !errors.Is(err, ErrNoAccess) || len(f.store.pins) != 0 {
				t.Errorf("pinned: %v, pins %v", err, f.store.pins)
			}
		})
	}
}
