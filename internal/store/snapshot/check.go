package snapshot

import (
	"encoding/binary"
	"fmt"
)

// CheckPage returns nil if b is the page of that id, whole and authentic; else an
// ErrCorrupt.
func (k *PageKey) CheckPage(id PageID, b []byte) error {
	if PageID(k.mac(b)) != id {
		return fmt.Errorf("%w: it does not authenticate", ErrCorrupt)
	}
	_, err := parsePage(b)
	return err
}

// CheckRoot returns nil if b is a root, whole and authentic; else an ErrCorrupt.
func (k *PageKey) CheckRoot(b []byte) error {
	if len(b) < rootHead {
		return fmt.Errorf("%w: no root", ErrCorrupt)
	}
	volume := int64(binary.LittleEndian.Uint64(b[8:])) // not trusted until the MAC has been checked
	if volume < 0 || volume > maxVolume {
		return fmt.Errorf("%w: root of a volume of %d blocks", ErrCorrupt, volume)
	}
	_, err := parseRoot(b, k, volume)
	return err
}
