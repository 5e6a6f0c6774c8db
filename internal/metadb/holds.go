package metadb

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// Holds is the snapshot.Holds of a DB. On a full disk holds may use all of the ballast, as
// deletions do, whose data reads may be of: reads go on there. Readers can't use it up. Of each there is one
// row at a time, which its release deletes and gc ends after a minute if it is not extended, and the
// pages that these statements write to the log are written over once it is emptied, as those of deletions are.
type Holds struct{ db *DB }

var _ snapshot.Holds = Holds{}

// Holds returns the store of holds.
func (db *DB) Holds() Holds { return Holds{db} }

// Take implements snapshot.Holds.
func (s Holds) Take(ctx context.Context, id string, until time.Time, why string) (h snapshot.Hold, err error) {
	err = s.db.free(ctx, "hold snapshot "+id, func(q querier) error {
		root, err := lockBase(ctx, q, id)
		if err != nil {
			return err
		}
		h = snapshot.Hold{ID: s.db.ids.Int63(), Root: root, Until: fromMicros(micros(until)), Why: why}
		_, err = exec(ctx, q, `INSERT INTO holds (id, root, until, why) VALUES ($1, $2, $3, $4)`, h.ID, h.Root, micros(h.Until), h.Why)
		return err
	})
	return h, err
}

// TakeAll implements snapshot.Holds.
func (s Holds) TakeAll(ctx context.Context, until time.Time, why string) (snapshot.Hold, error) {
	h := snapshot.Hold{ID: s.db.ids.Int63(), Until: fromMicros(micros(until)), Why: why}
	err := s.db.unset(ctx, "hold all files", func(q querier) error {
		_, err := exec(ctx, q, `INSERT INTO holds (id, root, until, why) VALUES ($1, 0, $2, $3)`, h.ID, micros(h.Until), h.Why)
		return err
	})
	return h, err
}

// heldAll is true while there is a hold of all files.
const heldAll = `EXISTS (SELECT 1 FROM holds h WHERE h.root = 0)`

// Extend implements snapshot.Holds.
func (s Holds) Extend(ctx context.Context, h snapshot.Hold, until time.Time) (snapshot.Hold, error) {
	h.Until = fromMicros(micros(until))
	err := s.db.unset(ctx, "extend a hold", func(q querier) error {
		n, err := exec(ctx, q, `UPDATE holds SET until = $1 WHERE id = $2`, micros(h.Until), h.ID)
		if err == nil && n == 0 {
			err = snapshot.ErrHoldLost
		}
		return err
	})
	return h, err
}

// Release implements snapshot.Holds.
func (s Holds) Release(ctx context.Context, h snapshot.Hold) error {
	return s.db.unset(ctx, "release a hold", func(q querier) error {
		_, err := exec(ctx, q, `DELETE FROM holds WHERE id = $1`, h.ID)
		return err
	})
}
