package objects

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/versity/versitygw/backend/meta"
)

// probe tests the two abilities of the file system that the store depends on, with
// a file in the places where they are used.
func (s *GatewayStore) probe() error {
	f, err := os.CreateTemp(filepath.Join(s.dir, bucketsDir), ".probe-*")
	if err != nil {
		return fmt.Errorf("probing the object store: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer f.Close()

	name := filepath.Base(f.Name())
	link := filepath.Join(pinsDir, name)
	if err := s.root.Link(filepath.Join(bucketsDir, name), link); err != nil {
		return fmt.Errorf("%s can't hold imports: hard links are needed: %w", s.dir, err)
	}
	if err := s.root.Remove(link); err != nil {
		return fmt.Errorf("probing the object store: %w", err)
	}
	// Only writing one proves it: some file systems answer a read as if the
	// attribute were merely absent.
	if err := (meta.XattrMeta{}).StoreAttribute(f, "", "", etagAttr, []byte("probe")); err == nil {
		s.meta, s.attr = meta.XattrMeta{}, true
		return nil
	}
	return s.useSideCar()
}

func (s *GatewayStore) useSideCar() error {
	dir := filepath.Join(s.dir, metaDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the object store's side-car folder: %w", err)
	}
	sideCar, err := meta.NewSideCar(dir)
	if err != nil {
		return fmt.Errorf("opening the object store's side-car folder: %w", err)
	}
	s.meta, s.attr = sideCar, false
	return nil
}
