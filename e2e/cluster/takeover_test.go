package cluster

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// The image of TestTakeover has so many ranges, of so many bytes of data.
const (
	ranges     = 12
	rangeBytes = 4 * blockBytes
)

// TestTakeover kills nodes in the middle of imports: others take over what the node was at, and
// nothing else is read again. A node that is killed can't reach the store just before,
// so that it is certain to be at something.
func TestTakeover(t *testing.T) {
	t.Parallel()
	c, database := start(t, "--range-bytes", fmt.Sprint(rangeBytes), "--hold-poll", "0")
	w := newWorld(t, c, *seed)
	data := map[int64]int64{}
	for at := range int64(ranges) {
		for n := range int64(rangeBytes / blockBytes) {
			data[at*pageBlocks+n] = 100 + at*rangeBytes/blockBytes + n
		}
	}
	many := makeImage(t, c, "many.qcow2", "", ranges*pageBlocks*blockBytes, data)
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(*kills)*time.Minute)
	defer cancel()
	db, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	alone, err := w.undisturbed(ctx, many)
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	for kill := range *kills {
		took, err := w.takeover(ctx, t, db, many, kill, alone)
		if err != nil {
			t.Fatalf("kill %d: %v", kill, err)
		}
		times = append(times, took)
	}
	slices.Sort(times)
	if n := len(times); n > 0 {
		t.Logf("%d kills: from the kill until others had all units of the node: median %.1f s, at most %.1f s", n, times[n/2].Seconds(), times[n-1].Seconds())
		if *timed > 0 && times[n-1] > *timed {
			t.Errorf("it took %.1f s, want at most %v", times[n-1].Seconds(), *timed)
		}
	}
	w.settle(t, database)
}

// undisturbed imports an image, and returns how much all nodes got from the S3 for that.
func (w *world) undisturbed(ctx context.Context, many image) (int64, error) {
	c := caller{world: w, ctx: ctx, only: 1}
	before := w.received()
	i := w.begin(c, many)
	if err := c.again(func() bool { c.seeImport(i); return i.ended }); err != nil {
		return 0, fmt.Errorf("the import %s: %w", i.id, err)
	}
	return w.received() - before, nil
}

// begin has a client ask for an import.
func (w *world) begin(c caller, many image) *importing {
	i := &importing{token: fmt.Sprintf("import %d", len(w.imports)), image: many, from: w.now()}
	w.imports = append(w.imports, i)
	c.askImport(i)
	return i
}

// takeover kills a node while it is at ranges of an import, and returns how long it was until
// others were. alone is how many bytes such an import takes when nobody is killed.
func (w *world) takeover(ctx context.Context, t *testing.T, db *pgx.Conn, many image, kill int, alone int64) (time.Duration, error) {
	nodes := w.cluster.Nodes
	victim := nodes[kill%len(nodes)]
	defer victim.Store.Mend()
	c := caller{world: w, ctx: ctx, only: 1 + (kill+1)%len(nodes)}
	var i *importing
	var units []int64
	var before int64
	for len(units) == 0 { // until the node is at a range before others have done all of them
		before = w.received()
		i = w.begin(c, many)
		if i.id == "" {
			return 0, fmt.Errorf("the import was not accepted: %q", w.broken)
		}
		// Not before there are ranges: a node that can't read the image, and lives, keeps the plan
		// until it has tried for long.
		err := until(ctx, func() (begun bool, err error) {
			err = db.QueryRow(ctx, `SELECT ended <> 0 OR ranges_left > 0 FROM tasks WHERE id = $1`, i.id).Scan(&begun)
			return begun, err
		})
		if err != nil {
			return 0, fmt.Errorf("waiting until there are ranges: %w", err)
		}
		victim.Store.Stall()
		err = until(ctx, func() (ended bool, err error) {
			units, err = numbers(ctx, db, `SELECT id FROM units WHERE task = $1 AND kind = 'range' AND owner LIKE '%/' || $2::text || '/%'`, i.id, fmt.Sprint(victim.ID()))
			if err == nil && len(units) == 0 {
				err = db.QueryRow(ctx, `SELECT ended <> 0 FROM tasks WHERE id = $1`, i.id).Scan(&ended)
			}
			return ended || len(units) > 0, err
		})
		if err != nil {
			return 0, fmt.Errorf("waiting until %s is at a range: %w", victim.Name, err)
		}
		if len(units) == 0 {
			victim.Store.Mend()
		}
	}
	if err := victim.Kill(); err != nil {
		return 0, err
	}
	killed := time.Now()
	owner := fmt.Sprint(victim.ID())
	err := until(ctx, func() (bool, error) {
		left, err := numbers(ctx, db, `SELECT id FROM units WHERE owner = '' AND id = ANY($1) OR owner LIKE '%/' || $2::text || '/%' AND task = $3`, units, owner, i.id)
		return len(left) == 0, err
	})
	took := time.Since(killed)
	if err != nil {
		return 0, fmt.Errorf("waiting until others take over %d ranges: %w", len(units), err)
	}
	if err := c.again(func() bool { c.seeImport(i); return i.ended }); err != nil {
		return 0, fmt.Errorf("the import %s: %w", i.id, err)
	}
	read, flight := w.received()-before, int64(len(units))*alone/ranges
	t.Logf("%s was killed while it was at %d of %d ranges: others were after %.1f s; the nodes got %.1f MiB from the S3, and %.1f MiB when none was killed",
		victim.Name, len(units), ranges, took.Seconds(), float64(read)/(1<<20), float64(alone)/(1<<20))
	// The node that goes on reads the tables of the image too, which are far smaller than a range.
	if most := alone + 2*flight + alone/4; read > most {
		t.Errorf("the nodes got %d bytes from the S3, want at most %d: more than the ranges in flight was read again", read, most)
	}
	victim.Store.Mend()
	return took, victim.Start(ctx)
}

// received returns how much all nodes got from the S3: answers with what they read, above all.
func (w *world) received() (sum int64) {
	for _, n := range w.cluster.Nodes {
		sum += n.Store.Received()
	}
	return sum
}

func numbers(ctx context.Context, db *pgx.Conn, query string, args ...any) ([]int64, error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
