package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/gc"
)

var _ blockstore.Owner = Catalog{}

// storeIdentity is the name of the store's identity among the service-wide values.
const storeIdentity = "store identity"

// StoreIdentity implements blockstore.Owner.
func (c Catalog) StoreIdentity(ctx context.Context) (string, error) {
	var id []byte
	err := c.db.ask(ctx, "get the store's identity", func(q querier) (err error) {
		id, _, err = one(ctx, q, column[[]byte], `SELECT value FROM meta WHERE name = $1`, storeIdentity)
		return err
	})
	return string(id), err
}

// SetStoreIdentity implements blockstore.Owner.
func (c Catalog) SetStoreIdentity(ctx context.Context, id string) (string, error) {
	stored, err := c.db.Secret(ctx, storeIdentity, func() ([]byte, error) { return []byte(id), nil })
	return string(stored), err
}

// KnownFiles implements blockstore.Owner.
func (c Catalog) KnownFiles(ctx context.Context, ids []blockstore.FileID) (known map[blockstore.FileID]bool, err error) {
	err = c.db.view(ctx, "look up files", func(q querier) error {
		if known, err = filesWithRows(ctx, q, ids); err != nil {
			return err
		}
		facts, rowless := map[blockstore.FileID]gc.FileFacts{}, ids[:0:0]
		for _, id := range ids {
			if !known[id] {
				rowless = append(rowless, id)
			}
		}
		if err := addNames(ctx, q, rowless, facts); err != nil {
			return err
		}
		for id := range facts {
			known[id] = true
		}
		return nil
	})
	return known, err
}

// ClosedFiles implements blockstore.Owner.
func (c Catalog) ClosedFiles(ctx context.Context) (n int64, err error) {
	err = c.db.ask(ctx, "count files", func(q querier) error {
		n, _, err = one(ctx, q, column[int64], `SELECT COUNT(*) FROM files WHERE state = $1`, fileClosed)
		return err
	})
	return n, err
}
