package metadb

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// before calls do once, before the first statement that begins in a way.
type before struct {
	querier
	begins string
	do     func()
	done   *bool
}

// ExecContext implements querier.
func (b before) ExecContext(ctx context.Context, stmt string, args ...any) (sql.Result, error) {
	if !*b.done && strings.HasPrefix(strings.TrimSpace(stmt), b.begins) {
		*b.done = true
		b.do()
	}
	return b.querier.ExecContext(ctx, stmt, args...)
}

// TestCompleteTwiceAtOnce: a client that got no answer in time repeats its request, at another
// node, while the first is still being dealt with. Both succeed.
func TestCompleteTwiceAtOnce(t *testing.T) {
	url := postgres.New(t)
	first, second := open(t, url), open(t, url)
	ctx, id := t.Context(), first.ids.Snapshot()
	if _, _, err := first.Snapshots().Start(ctx, snapshot.Draft{Timeout: time.Hour, Record: snapshot.Record{ID: id, Account: "a", Region: region}}, "", 9); err != nil {
		t.Fatal(err)
	}
	complete := func(db *DB) error { return db.Snapshots().Complete(ctx, of("a"), id, snapshot.Expected{Blocks: 1}) }
	done := false
	first.wrap = func(q querier) querier {
		return before{q, "UPDATE drafts SET touched", func() {
			if err := complete(second); err != nil {
				t.Error("the one:", err)
			}
		}, &done}
	}
	if err := complete(first); err != nil || !done {
		t.Errorf("the other: %v, %v", err, done)
	}
}
