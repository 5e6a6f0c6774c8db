package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/meta"
)

// GatewayPin names the bytes that an object had when it was pinned.
type GatewayPin struct {
	ID      string
	Size    int64     // bytes
	ETag    string    // as S3 shows it, with its quotation marks
	ModTime time.Time // of the file, not of the pin
}

// Pin keeps the object's present bytes under the name id until Release, and
// returns once they and that name are durable (the gateway doesn't sync what
// it stores). The id must be new: letters, digits, "-", "_", ".".
//
// It fails with ErrNoSuchObject for an object that isn't there. Where attributes
// lie in side-car files, the ETag is the one on record at that moment, which may
// belong to a simultaneous upload; size and bytes are always those of the pin.
func (s *GatewayStore) Pin(ctx context.Context, bucket, key, id string) (GatewayPin, error) {
	path, ok := objectPath(bucket, key)
	if !ok {
		return GatewayPin{}, fmt.Errorf("pinning %s/%s: %w", bucket, key, ErrNoSuchObject)
	}
	if !validPinID(id) {
		return GatewayPin{}, fmt.Errorf("pinning %s/%s: invalid pin id %q", bucket, key, id)
	}
	link := filepath.Join(pinsDir, id)
	if err := s.link(ctx, path, link); err != nil {
		return GatewayPin{}, fmt.Errorf("pinning %s/%s: %w", bucket, key, s.linkError(path, err))
	}
	pin, err := s.settle(bucket, key, id, link)
	if err != nil {
		return GatewayPin{}, errors.Join(fmt.Errorf("pinning %s/%s: %w", bucket, key, err), s.root.Remove(link))
	}
	return pin, nil
}

// longestPause is the last of the pauses in which an object that is not there is
// looked for again; all together they take twice as long.
const longestPause = 64 * time.Millisecond

// link makes a hard link to an object. The gateway replaces one by removing it
// first, so that for a moment there is none.
func (s *GatewayStore) link(ctx context.Context, path, link string) error {
	err := s.root.Link(path, link)
	for pause := time.Millisecond; errors.Is(err, fs.ErrNotExist) && pause <= longestPause; pause *= 2 {
		again := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		case <-again.C:
		}
		err = s.root.Link(path, link)
	}
	return err
}

// linkError turns the errors of linking a missing object or a folder into
// ErrNoSuchObject.
func (s *GatewayStore) linkError(path string, err error) error {
	for _, gone := range []error{fs.ErrNotExist, syscall.ENOTDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, gone) {
			return ErrNoSuchObject
		}
	}
	if info, statErr := s.root.Lstat(path); statErr == nil && info.IsDir() {
		return ErrNoSuchObject
	}
	return err
}

// settle makes a new link durable and reads what it names.
func (s *GatewayStore) settle(bucket, key, id, link string) (GatewayPin, error) {
	// The gateway never makes symbolic links; one would be linked itself instead of
	// its target.
	if info, err := s.root.Lstat(link); err != nil {
		return GatewayPin{}, err
	} else if !info.Mode().IsRegular() {
		return GatewayPin{}, ErrNoSuchObject
	}
	f, err := s.root.Open(link)
	if err != nil {
		return GatewayPin{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return GatewayPin{}, err
	}
	etag, err := s.attribute(f, bucket, strings.TrimPrefix(key, "/"), etagAttr)
	if err != nil && !errors.Is(err, meta.ErrNoSuchKey) {
		return GatewayPin{}, fmt.Errorf("reading the ETag: %w", err)
	}
	if err := f.Sync(); err != nil {
		return GatewayPin{}, err
	}
	if err := s.syncPins(); err != nil {
		return GatewayPin{}, err
	}
	return GatewayPin{ID: id, Size: info.Size(), ETag: string(etag), ModTime: info.ModTime()}, nil
}

// Open opens the pinned bytes for reading, and fails with ErrChanged when they
// are not those on record, with ErrNoSuchPin when the pin was released. The
// caller closes the File; releasing the pin meanwhile doesn't disturb it.
func (s *GatewayStore) Open(_ context.Context, pin GatewayPin) (*File, error) {
	if !validPinID(pin.ID) {
		return nil, fmt.Errorf("opening pin %q: %w", pin.ID, ErrNoSuchPin)
	}
	f, err := s.root.Open(filepath.Join(pinsDir, pin.ID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening pin %s: %w", pin.ID, ErrNoSuchPin)
	}
	if err != nil {
		return nil, fmt.Errorf("opening pin %s: %w", pin.ID, err)
	}
	file := NewFile(f, pin.Size, pin.ModTime)
	if err := file.Check(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening pin %s: %w", pin.ID, err), f.Close())
	}
	return file, nil
}

// Release drops the pin. Dropping one that doesn't exist succeeds.
func (s *GatewayStore) Release(_ context.Context, id string) error {
	if !validPinID(id) {
		return nil
	}
	err := s.root.Remove(filepath.Join(pinsDir, id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("releasing pin %s: %w", id, err)
	}
	return nil
}

// Pins lists the ids of all pins, so that those without a task can be swept.
func (s *GatewayStore) Pins(_ context.Context) ([]string, error) {
	entries, err := fs.ReadDir(s.root.FS(), pinsDir)
	if err != nil {
		return nil, fmt.Errorf("listing pins: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if validPinID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

func (s *GatewayStore) syncPins() error {
	dir, err := s.root.Open(pinsDir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
