package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/verify"
)

// pageKeyName is a copy of what the database keeps as page key, so that pages and roots can be read
// when the database is lost.
const pageKeyName = "page.key"

// pageKey returns the key of pages and roots. A new database takes the one in the data
// directory.
func (a *App) pageKey(ctx context.Context, db *metadb.DB, master *secret.MasterKey) ([]byte, error) {
	name := serviceKeys[0]
	kept, err := os.ReadFile(a.data.file(pageKeyName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("server: %w", err)
	}
	there := err == nil && (!a.cfg.shared() || a.cfg.Rebuild) // the directory of one of many nodes may be of another time
	key, err := a.serviceKey(ctx, db, master, name, func() ([]byte, error) {
		if !there {
			return randomKey()
		}
		key, err := master.Unwrap(kept, []byte(name))
		if err != nil {
			err = fmt.Errorf("server: %s cannot be read under %s: put back the two that belong together: %w", a.data.file(pageKeyName), a.masterFile(), err)
		}
		return key, err
	})
	if err != nil {
		return nil, err
	}
	wrapped, err := db.Secret(ctx, name, func() ([]byte, error) { return nil, errors.New("the page key is gone") })
	if err != nil || bytes.Equal(wrapped, kept) {
		return key, err
	}
	// On a full disk it can be written the next time.
	if err := a.space.Freeing(func() error { return writeNew(a.data.file(pageKeyName), wrapped, 0o600) }); err != nil {
		a.log.Warn("keeping a copy of the page key, without which a lost database can't be rebuilt from the store", logkey.Error, err)
	}
	return key, nil
}

// rebuild enters what the store has and the database does not know.
func (a *App) rebuild(ctx context.Context, o verify.Observer) (verify.Rebuilt, error) {
	if a.cfg.shared() && !a.cfg.Rebuild {
		return verify.Rebuilt{}, fmt.Errorf("%w: stop all nodes, then run diskport verify --rebuild with the settings of one of them (docs/cluster.md)", ErrOneNodeAlone)
	}
	return a.parts.verify.Rebuild(ctx, a.parts.backend, o)
}
