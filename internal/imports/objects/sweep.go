package objects

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/blockstore"
)

const (
	sweepEvery   = 10 * time.Minute
	sweepPause   = time.Second // between sweeps, at least
	strayEvery   = 24 * time.Hour
	rememberFor  = 24 * time.Hour      // completed uploads
	keptAsideFor = 30 * 24 * time.Hour // files that were set aside
)

// Swept is what a sweep did.
type Swept struct {
	Removed int // pieces
	Aside   int // files without a row
	Back    int // files that were set aside and are named
}

// Run frees what is no longer named, when something may have been let go and once in a
// while, until ctx ends. The owner of the Service runs it, once.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var strays time.Time
	for {
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("objects were not swept", logkey.Error, err)
		}
		if now := s.opts.Now(); now.Sub(strays) >= strayEvery {
			strays = now
			s.lookForStrays(ctx)
		}
		pause := time.NewTimer(sweepPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-s.woken:
		case <-tick.C:
			if err := s.store.ForgetCompletions(ctx, s.opts.Aged().Add(-rememberFor)); err != nil && ctx.Err() == nil {
				s.opts.Log.Error("completed uploads were not forgotten", logkey.Error, err)
			}
		}
	}
}

func (s *Service) lookForStrays(ctx context.Context) {
	swept, err := s.SweepStrays(ctx)
	if err != nil && ctx.Err() == nil {
		s.opts.Log.Error("files of objects were not compared with their rows", logkey.Error, err)
	}
	if swept.Aside > 0 {
		s.opts.Log.Warn("files of objects that no row names were set aside", "files", swept.Aside)
	}
	if swept.Back > 0 {
		s.opts.Log.Warn("files of objects that were set aside are named, and were brought back", "files", swept.Back)
	}
}

// sweepAtOnce is how many pieces a sweep takes in one transaction.
const sweepAtOnce = 1000

// Sweep frees the pieces that no object, part or pin names: it condemns them, looks
// who still reads them, removes their files and then their rows. What is read is left
// to a later sweep.
func (s *Service) Sweep(ctx context.Context) (swept Swept, err error) {
	if dropped := s.takeDropped(); len(dropped) > 0 {
		if err := s.store.DropPieces(ctx, dropped); err != nil {
			s.mu.Lock()
			s.dropped = append(s.dropped, dropped...) // for the next one
			s.mu.Unlock()
			return swept, err
		}
	}
	for after := PieceID(0); ; {
		ids, err := s.store.Garbage(ctx, s.writer, after, sweepAtOnce)
		if err != nil {
			return swept, err
		}
		n, err := s.remove(ctx, ids)
		swept.Removed += n
		if err != nil {
			return swept, err
		}
		if len(ids) < sweepAtOnce {
			return swept, nil
		}
		after = ids[len(ids)-1]
	}
}

// remove removes the files of condemned pieces that nobody reads, then their rows.
func (s *Service) remove(ctx context.Context, ids []PieceID) (removed int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	// Whoever has read that a content names one of them holds it by now; whoever comes
	// later finds the content gone.
	s.opening.Lock()
	ids = s.held.without(ids)
	s.opening.Unlock()
	var gone []PieceID
	for _, id := range ids {
		if s.opts.Older {
			err = s.opts.Aside.SetAside(ctx, fileName(id), s.now())
		}
		if err == nil {
			err = s.opts.Files.Remove(ctx, fileName(id))
		}
		if err != nil {
			break
		}
		gone = append(gone, id)
	}
	if len(gone) == 0 {
		return 0, err
	}
	return len(gone), errors.Join(err, s.store.ForgetPieces(ctx, gone))
}

// SweepStrays compares the files with the rows: a closed file without a row is set
// aside, since it may be all that is left of a lost database, and an open one removed. One
// that was set aside and is named comes back; the others go for good after a month.
func (s *Service) SweepStrays(ctx context.Context) (swept Swept, err error) {
	back, unlooked := s.bringBackNamed(ctx)
	swept.Back = back
	var batch []blockstore.Entry
	flush := func() error {
		n, err := s.setAside(ctx, batch)
		swept.Removed, swept.Aside, batch = swept.Removed+n.Removed, swept.Aside+n.Aside, batch[:0]
		return err
	}
	err = s.opts.Files.List(ctx, func(e blockstore.Entry) error {
		if batch = append(batch, e); len(batch) < sweepAtOnce {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err = errors.Join(err, unlooked); err != nil { // nothing is purged that could not be looked at
		return swept, err
	}
	_, err = s.opts.Aside.Purge(ctx, s.opts.Aged().Add(-keptAsideFor))
	return swept, err
}

// bringBackNamed brings back what was set aside although a content names it by now: the
// right database is back. A piece that has only a row is garbage wherever it lies.
func (s *Service) bringBackNamed(ctx context.Context) (back int, err error) {
	var aside []PieceID
	flush := func() error {
		known, err := s.store.KnownPieces(ctx, aside)
		for _, id := range aside {
			if err == nil && known[id].Named {
				back++
				err = s.opts.Aside.BringBack(ctx, fileName(id))
			}
		}
		aside = aside[:0]
		return err
	}
	err = s.opts.Aside.EachAside(ctx, func(name string) error {
		if id, ok := pieceOf(name); ok {
			aside = append(aside, id)
		}
		if len(aside) < sweepAtOnce {
			return nil
		}
		return flush()
	})
	if err == nil && len(aside) > 0 {
		err = flush()
	}
	return back, err
}

// setAside deals with those of the files that have no row.
func (s *Service) setAside(ctx context.Context, files []blockstore.Entry) (swept Swept, err error) {
	ids := make([]PieceID, 0, len(files))
	for _, f := range files {
		if id, ok := pieceOf(f.Name); ok {
			ids = append(ids, id)
		}
	}
	known, err := s.store.KnownPieces(ctx, ids)
	if err != nil {
		return swept, err
	}
	for _, f := range files {
		id, ok := pieceOf(f.Name)
		switch {
		case !ok || known[id] != Known{}: // a name that is not ours stays
		case f.Closed:
			swept.Aside++
			err = s.opts.Aside.SetAside(ctx, f.Name, s.now())
		default:
			swept.Removed++
			err = s.opts.Files.Remove(ctx, f.Name)
		}
		if err != nil {
			return swept, err
		}
	}
	return swept, nil
}

// pieceOf returns the piece whose file has the name.
func pieceOf(name string) (PieceID, bool) {
	_, number, _ := strings.Cut(name, "/")
	id, err := strconv.ParseInt(number, 16, 64)
	return PieceID(id), err == nil && fileName(PieceID(id)) == name
}
