package blobdir

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	identityName   = "identity"
	identityPrefix = "diskport store 1 " // with the version
	identityDigits = 32
)

// Identity implements blockstore.Identified.
func (d *Dir) Identity(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	path := filepath.Join(d.root, identityName)
	line, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	id, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), identityPrefix)
	if !ok || !isIdentity(id) {
		return "", fmt.Errorf("blobdir: %s holds no identity of a version that is known here", path)
	}
	return id, nil
}

func isIdentity(id string) bool {
	_, err := hex.DecodeString(id)
	return err == nil && len(id) == identityDigits
}

// SetIdentity implements blockstore.Identified. The file appears whole, and not
// at all where there is one: a hard link never replaces a file.
func (d *Dir) SetIdentity(ctx context.Context, id string) (string, error) {
	if !isIdentity(id) {
		return "", fmt.Errorf("blobdir: %q is no identity", id)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(d.root, ".identity*")
	if err != nil {
		return "", wrapFull(err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(identityPrefix + id + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", wrapFull(err)
	}
	if err := os.Link(f.Name(), filepath.Join(d.root, identityName)); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", wrapFull(err)
	}
	if err := syncDir(d.root); err != nil {
		return "", err
	}
	return d.Identity(ctx)
}
