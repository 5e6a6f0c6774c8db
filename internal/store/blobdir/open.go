package blobdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/diskport/diskport/internal/store/blockstore"
)

// Open opens a closed file for reading: to send it by sendfile, or to find its holes.
// The caller closes it; removing it meanwhile does not disturb that. It fails with
// blockstore.ErrNotExist.
func (d *Dir) Open(ctx context.Context, name string) (*os.File, error) {
	path, err := d.path(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", blockstore.ErrNotExist, err)
	}
	return f, err
}
