package kms_test

import (
	"testing"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/kms/kmstest"
	"github.com/diskport/diskport/internal/identity/secret"
)

func FuzzIdentifiers(f *testing.F) {
	for _, seed := range []string{"alias/a", "arn:aws:kms:us-east-1:111111111111:key/12345678-1234-1234-1234-123456789012", "arn:::::", "mrk-0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := kms.ParseIdentifier(text)
		if (err == nil) == (id.Key == "" && id.Alias == "") || id.Key != "" && id.Alias != "" {
			t.Errorf("%q: %+v, %v", text, id, err)
		}
	})
}

func FuzzCiphertext(f *testing.F) {
	master, _ := secret.NewMasterKey(make([]byte, secret.KeySize))
	s := kms.New(kms.Options{Store: &kmstest.Memory{}, Wrapper: master, Principals: kmstest.Names{}})
	k, err := s.CreateKey(f.Context(), root(account), kms.KeySpec{})
	if err != nil {
		f.Fatal(err)
	}
	blob, err := s.Encrypt(k, []byte("plain"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	if err := s.RotateNow(f.Context(), k.Ref); err != nil {
		f.Fatal(err)
	}
	if k, err = s.Key(f.Context(), k.Ref); err != nil {
		f.Fatal(err)
	}
	if blob, err = s.Encrypt(k, []byte("plain"), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(blob)
	f.Add([]byte("DPKC\x01\x00\x00\x00\x01\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if plain, err := s.Decrypt(k, data, nil); err == nil && string(plain) != "plain" {
			t.Errorf("forged: %q", plain)
		}
	})
}
