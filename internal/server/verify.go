package server

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/diskport/diskport/internal/api/adminapi"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// verifier reads snapshots back.
type verifier struct{ p *parts }

// verifyReaders is how many blocks are read at a time.
const verifyReaders = 3

// Verify implements adminapi.Verifier.
func (v *verifier) Verify(ctx context.Context, id string, progress func(done, total int64)) error {
	rec, err := v.p.db.Snapshots().Get(ctx, id)
	if err != nil {
		return err
	}
	blocks, err := v.p.library.Open(ctx, rec)
	if err != nil {
		return err
	}
	indexes := make(chan int64, verifyReaders)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(indexes)
		done := int64(0)
		for b, err := range blocks.From(gctx, 0) {
			if err != nil {
				return err
			}
			select {
			case indexes <- b.Index:
			case <-gctx.Done():
				return gctx.Err()
			}
			done++
			progress(done, blocks.Count())
		}
		if done != blocks.Count() {
			return fmt.Errorf("snapshot %s: its pages name %d blocks, its root %d", id, done, blocks.Count())
		}
		return nil
	})
	for range verifyReaders {
		g.Go(func() error { return v.read(gctx, blocks, indexes) })
	}
	return g.Wait()
}

// read reads the blocks at the indexes; every read proves its block.
func (v *verifier) read(ctx context.Context, blocks *snapshot.Blocks, indexes <-chan int64) error {
	frame := make([]byte, frame.Size)
	for i := range indexes {
		if _, _, err := blocks.Get(ctx, i, frame); err != nil {
			return fmt.Errorf("block %d of snapshot %s: %w", i, blocks.Record().ID, err)
		}
	}
	return nil
}

// collector runs gc on demand.
type collector struct{ p *parts }

// Collect implements adminapi.Collector.
func (c collector) Collect(ctx context.Context) (adminapi.Freed, error) {
	r, err := c.p.gc.Run(ctx)
	return freed(r), err
}

func freed(r gc.Report) adminapi.Freed {
	return adminapi.Freed{Blocks: r.Blocks, Files: r.Files, Bytes: r.Bytes}
}
