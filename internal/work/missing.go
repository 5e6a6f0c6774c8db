package work

import (
	"errors"

	"github.com/diskport/diskport/internal/space"
)

// Space is a Handler.Missing: room on the disk returns by itself, when something is
// deleted or another program gives it back.
func Space(err error) (what string, ok bool) {
	if full := (*space.FullError)(nil); errors.As(err, &full) {
		return "space: " + full.Missing(), true
	}
	return "space", space.IsFull(err)
}
