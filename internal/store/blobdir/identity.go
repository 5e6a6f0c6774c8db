package blobdir

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/diskport/diskport/internal/durable"
	"github.com/diskport/diskport/internal/failpoint"
)

const (
	identityName   = "identity"
	identityPrefix = "diskport store 2 " // with the storage format
	identityV1     = "diskport store 1 "
	identityDigits = 32
)

// ErrFormat reports a directory of a storage format that is not known here.
var ErrFormat = errors.New("blobdir: another storage format")

// Identity implements blockstore.Identified.
func (d *Dir) Identity(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return d.identity()
}

func (d *Dir) identity() (string, error) {
	path := filepath.Join(d.root, identityName)
	line, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(string(line), identityV1) {
		return "", fmt.Errorf("%w: %s is a store of format 1, which was written before the first release and is not read any more. "+
			"Import its disks again into an empty data directory, or use the version of the program that wrote it", ErrFormat, d.root)
	}
	id, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), identityPrefix)
	switch {
	case ok && isIdentity(id):
		return id, nil
	case anyFormat.Match(line):
		return "", fmt.Errorf("%w: %s names no format that is known here. Use the version of the program that wrote it", ErrFormat, path)
	}
	return "", fmt.Errorf("blobdir: %s is damaged: it has %.60q. Remove it and start again: it is written anew if the database knows the files beside it", path, line)
}

// anyFormat is what the file has of a store of any format, from what can be foreseen.
var anyFormat = regexp.MustCompile(`^diskport store [0-9]+ [0-9a-f]{32}\n$`)

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
	f, err := os.CreateTemp(d.root, identities)
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
	failpoint.At("identity of the store: named")
	if err := durable.SyncFolder(d.root); err != nil {
		return "", err
	}
	return d.Identity(ctx)
}
