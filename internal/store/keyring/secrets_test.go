package keyring_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/keyring"
)

// TestNoKeyIsAtRestInTheClear makes keys of all sorts on a real database, and
// looks for them in its files, in the stored rows and in the logs.
func TestNoKeyIsAtRestInTheClear(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db, err := metadb.Open(ctx, filepath.Join(dir, "m.db"), metadb.Options{})
	check(t, "open", err)
	b := newBench(t, db.KMS(), db.Catalog())
	k := b.key(t, kms.KeySpec{Description: "a description that must be found"})
	_, err = b.Resolve(ctx, root(account), "") // makes another
	check(t, "default key", err)
	row, _, err := b.Encrypted(ctx, account, k.ARN())
	check(t, "domain", err)
	_, _, err = b.Plain(ctx, account)
	check(t, "plain domain", err)
	secrets := append(b.wrapper.secrets, b.domainSecrets(t, row.ID)...)
	if len(secrets) < 6 {
		t.Fatalf("only %d secrets were seen", len(secrets))
	}
	// What is in the log that SQLite writes ahead counts too, so look before Close.
	found := readAll(t, dir)
	check(t, "close", db.Close())
	found = append(found, readAll(t, dir)...)
	if !bytes.Contains(found, []byte("a description that must be found")) {
		t.Fatal("the search sees nothing")
	}
	for i, secret := range secrets {
		searchFor(t, i, secret, found)
	}
}

// TestNoKeyIsLogged does the same with the logs on both ends of the API.
func TestNoKeyIsLogged(t *testing.T) {
	b, ctx := external(t), t.Context()
	k := b.key(t, kms.KeySpec{})
	row, _, err := b.Encrypted(ctx, account, k.ARN())
	check(t, "domain", err)
	check(t, "disable", b.service.SetEnabled(ctx, k.Ref, kms.Disable))
	_, refusal := b.SnapshotKey(ctx, root(account), k.ARN(), "snap-1")
	refused(t, "a disabled key", refusal, keyring.Disabled)
	check(t, "enable", b.service.SetEnabled(ctx, k.Ref, kms.Enable))
	told := b.log.String() + refusal.Error()
	if !strings.Contains(told, "GenerateDataKey") || !strings.Contains(told, "DisabledException") {
		t.Fatalf("the search sees nothing: %s", told)
	}
	for i, secret := range append(b.wrapper.secrets, b.domainSecrets(t, row.ID)...) {
		searchFor(t, i, secret, []byte(told))
	}
}

// domainSecrets opens an envelope by hand, and returns the data key that wraps and
// the domain's own keys.
func (b *bench) domainSecrets(t *testing.T, id string) [][]byte {
	t.Helper()
	row, err := b.Domains.Domain(t.Context(), id)
	check(t, "row", err)
	ciphertext, wrapped, err := keyring.SplitEnvelope(row.WrappedKeys)
	check(t, "split", err)
	wrapping, err := b.kms.Decrypt(t.Context(), row.KMSKey, ciphertext, keyring.DomainContext(id))
	check(t, "decrypt", err)
	keys := unwrapKeys(t, wrapping, wrapped, id)
	return [][]byte{wrapping, keys[2:34], keys[34:]} // behind version and cipher
}

func readAll(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	})
	check(t, "read "+dir, err)
	return all
}

// searchFor looks for half of a secret, in binary and as text.
func searchFor(t *testing.T, i int, secret, in []byte) {
	t.Helper()
	half := secret[:16]
	if len(secret) > 32 {
		half = secret[2:18] // behind the version and cipher of wrapped keys
	}
	forms := [][]byte{
		half, []byte(hex.EncodeToString(half)), []byte(strings.ToUpper(hex.EncodeToString(half))),
		[]byte(base64.StdEncoding.EncodeToString(secret)), []byte(base64.RawURLEncoding.EncodeToString(half[:15])),
	}
	for _, form := range forms {
		if bytes.Contains(in, form) {
			t.Errorf("secret %d of %d bytes is in the clear", i, len(secret))
		}
	}
}

func unwrapKeys(t *testing.T, wrapping, wrapped []byte, id string) []byte {
	t.Helper()
	master, err := secret.NewMasterKey(wrapping)
	check(t, "wrapping key", err)
	keys, err := master.Unwrap(wrapped, []byte("diskport:domain-keys:"+id))
	check(t, "open", err)
	return keys
}
