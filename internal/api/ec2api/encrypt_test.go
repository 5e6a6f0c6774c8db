package ec2api

import (
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// TestEncryption: how a request and the account's defaults determine the encryption
// of a new snapshot.
func TestEncryption(t *testing.T) {
	const theirs = "arn:aws:kms:us-east-1:123456789012:key/22222222-2222-3333-4444-555555555555"
	plain := (*snapshot.Encryption)(nil)
	under := func(key string) *snapshot.Encryption { return &snapshot.Encryption{Key: key} }
	for name, c := range map[string]struct {
		defaults snapshot.Defaults
		params   []string
		want     *snapshot.Encryption
	}{
		"nothing said":                   {want: plain},
		"refused":                        {params: []string{"Encrypted=false"}, want: plain},
		"asked for":                      {params: []string{"Encrypted=true"}, want: under("")},
		"asked for with key":             {params: []string{"Encrypted=true", "KmsKeyId=alias/x"}, want: under("alias/x")},
		"by default":                     {defaults: snapshot.Defaults{Encrypt: true}, want: under("")},
		"by default, refused":            {defaults: snapshot.Defaults{Encrypt: true}, params: []string{"Encrypted=false"}, want: under("")},
		"by default, key of the account": {defaults: snapshot.Defaults{Encrypt: true, KMSKey: theirs}, want: under(theirs)},
		"key of the account":             {defaults: snapshot.Defaults{KMSKey: theirs}, params: []string{"Encrypted=true"}, want: under(theirs)},
		"key of the account alone":       {defaults: snapshot.Defaults{KMSKey: theirs}, want: plain},
		"the request's key wins":         {defaults: snapshot.Defaults{Encrypt: true, KMSKey: theirs}, params: []string{"Encrypted=true", "KmsKeyId=alias/x"}, want: under("alias/x")},
	} {
		t.Run(name, func(t *testing.T) {
			f := populated()
			f.Defaults = defaultsStore{&defaults{c.defaults, awsid.Home{Account: account, Region: "us-east-1"}}}
			same := func(what string, got *snapshot.Encryption) {
				if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
					t.Errorf("%s: got %+v, want %+v", what, got, c.want)
				}
			}
			f.ok(t, "CopySnapshot", slices.Concat(good["CopySnapshot"], c.params)...)
			same("copy", f.copies.got.Encrypt)
			if got := f.copies.got.DefaultKey; got != c.defaults.KMSKey {
				t.Errorf("copy: default key %q, want %q", got, c.defaults.KMSKey)
			}
			f.ok(t, "ImportSnapshot", slices.Concat(good["ImportSnapshot"], c.params)...)
			ask := plain
			if f.imports.got.Encrypted {
				ask = under(f.imports.got.KMSKey)
			}
			same("import", ask)
		})
	}
}

// TestEncryptionIsShown: the elements are there for encrypted snapshots only.
func TestEncryptionIsShown(t *testing.T) {
	f := populated()
	body := f.do("ImportSnapshot", slices.Concat(good["ImportSnapshot"], []string{"Encrypted=true", "KmsKeyId=alias/x"})...).Body.String()
	if !strings.Contains(body, "<encrypted>true</encrypted>") || !strings.Contains(body, "<kmsKeyId>alias/x</kmsKeyId>") {
		t.Errorf("encrypted: %s", body)
	}
	body = f.do("ImportSnapshot", good["ImportSnapshot"]...).Body.String()
	if strings.Contains(body, "ncrypted") || strings.Contains(body, "kmsKeyId") {
		t.Errorf("not encrypted: %s", body)
	}
	f.snapshots.records[0].KMSKey, f.snapshots.records[0].DataKey = keyARN, "8d9a2c2e-0000-4000-8000-000000000000"
	body = f.do("DescribeSnapshots", "SnapshotId.1="+f.snapshots.records[0].ID).Body.String()
	for _, want := range []string{"<encrypted>true</encrypted>", "<kmsKeyId>" + keyARN + "</kmsKeyId>", "<dataEncryptionKeyId>8d9a2c2e-0000-4000-8000-000000000000</dataEncryptionKeyId>"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
}
