package metadb

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/work"
)

// Outbox is the outbox.Store of a DB.
type Outbox struct{ db *DB }

var (
	_ outbox.Store      = Outbox{}
	_ outbox.Backlogs   = Outbox{}
	_ outbox.Conditions = Outbox{}
)

// Outbox returns the store of events to tell.
func (db *DB) Outbox() Outbox { return Outbox{db} }

// tell adds an event to the transaction. It locks a counter until the transaction
// ends, so that events are numbered in the order of commits; call it last, or other
// transactions wait for long.
func (db *DB) tell(ctx context.Context, q querier, e outbox.Event) error {
	detail, err := outboxDetail.text(e.Detail)
	if err != nil {
		return err
	}
	if e.At.IsZero() {
		e.At = db.now()
	}
	id, _, err := one(ctx, q, column[int64], `
		INSERT INTO counters (name, value) VALUES ('outbox', 1)
		ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value`)
	if err != nil {
		return err
	}
	_, err = exec(ctx, q, `INSERT INTO outbox (id, kind, account, region, resource, detail, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		id, e.Kind, e.Account, e.Region, e.Resource, detail, micros(e.At))
	return err
}

// Pending implements outbox.Store.
func (o Outbox) Pending(ctx context.Context, after int64, limit int) (events []outbox.Event, err error) {
	scan := func(s scanner) (e outbox.Event, err error) {
		var detail string
		var at int64
		if err = s.Scan(&e.ID, &e.Kind, &e.Account, &e.Region, &e.Resource, &detail, &at); err != nil {
			return e, err
		}
		e.At = fromMicros(at)
		return e, outboxDetail.read(detail, &e.Detail)
	}
	err = o.db.ask(ctx, "read the outbox", func(q querier) error {
		events, err = all(ctx, q, scan, `SELECT id, kind, account, region, resource, detail, at FROM outbox WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
		return err
	})
	return events, err
}

// Told implements outbox.Store.
func (o Outbox) Told(ctx context.Context, ids ...int64) error {
	return o.db.free(ctx, "empty the outbox", func(q querier) error {
		_, err := execIn(ctx, q, args(ids), `DELETE FROM outbox WHERE id IN (?)`)
		return err
	})
}

// Forget implements outbox.Store.
func (o Outbox) Forget(ctx context.Context, before time.Time) (int, error) {
	const some = 1024
	return o.db.inSlices(ctx, "forget old events", some, func(q querier) (int, error) {
		n, err := exec(ctx, q, `DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE at < $1 ORDER BY id LIMIT $2)`, micros(before), some)
		return int(n), err
	})
}

// Backlog implements outbox.Backlogs.
func (o Outbox) Backlog(ctx context.Context) (events int64, oldest time.Time, err error) {
	var at int64
	err = o.db.view(ctx, "count the events to tell", func(q querier) error {
		return sums(ctx, q, []any{&events, &at}, `SELECT COUNT(*), COALESCE(MIN(at), 0) FROM outbox`)
	})
	return events, fromMicros(at), err
}

// Begin implements outbox.Conditions. What is told of may be a full disk.
func (o Outbox) Begin(ctx context.Context, c outbox.Condition, e outbox.Event) error {
	return o.db.free(ctx, "note that "+conditionName(c), func(q querier) error { return o.db.begin(ctx, q, c, e) })
}

// begin notes in the transaction that a condition stands.
func (db *DB) begin(ctx context.Context, q querier, c outbox.Condition, e outbox.Event) error {
	n, err := exec(ctx, q, `INSERT INTO conditions (topic, place, seen) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, c.Topic, c.Place, micros(c.Seen))
	switch {
	case err != nil:
		return err
	case n > 0:
		return db.tell(ctx, q, e)
	}
	_, err = exec(ctx, q, `UPDATE conditions SET seen = $1 WHERE topic = $2 AND place = $3 AND (seen < $1 OR seen > $4)`,
		micros(c.Seen), c.Topic, c.Place, micros(c.Seen.Add(work.MaxPause)))
	return err
}

// End implements outbox.Conditions.
func (o Outbox) End(ctx context.Context, c outbox.Condition, e outbox.Event) error {
	return o.db.free(ctx, "note that no more "+conditionName(c), func(q querier) error {
		n, err := exec(ctx, q, `DELETE FROM conditions WHERE topic = $1 AND place = $2`, c.Topic, c.Place)
		if err != nil || n == 0 {
			return err
		}
		return o.db.tell(ctx, q, e)
	})
}

// LastSeen implements outbox.Conditions.
func (o Outbox) LastSeen(ctx context.Context, c outbox.Condition) (seen time.Time, err error) {
	err = o.db.ask(ctx, "look whether "+conditionName(c), func(q querier) error {
		at, _, err := one(ctx, q, column[int64], `SELECT seen FROM conditions WHERE topic = $1 AND place = $2`, c.Topic, c.Place)
		seen = fromMicros(at)
		return err
	})
	return seen, err
}

// EndUnseen implements outbox.Conditions. What was seen more than a day ahead of now was seen by a
// clock that ran ahead.
func (o Outbox) EndUnseen(ctx context.Context, t outbox.Topic, before time.Time) error {
	const some = 1024
	_, err := o.db.inSlices(ctx, "forget conditions of "+string(t), some, func(q querier) (int, error) {
		n, err := exec(ctx, q, `DELETE FROM conditions WHERE topic = $1 AND place IN (
			SELECT place FROM conditions WHERE topic = $1 AND (seen < $2 OR seen > $4) ORDER BY place LIMIT $3)`,
			t, micros(before), some, micros(o.db.now().Add(work.MaxPause)))
		return int(n), err
	})
	return err
}

func conditionName(c outbox.Condition) string { return string(c.Topic) + " stands of " + c.Place }
