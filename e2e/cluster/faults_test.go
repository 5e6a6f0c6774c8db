package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/diskport/diskport/internal/work"
)

// nemesis hurts a cluster, by chance from a seed.
type nemesis struct {
	*world
	ctx context.Context
	rng *rand.Rand
	db  *pgx.Conn
	log func(format string, args ...any)
}

// faults are what it does. Each mends what it did.
var faults = []struct {
	name string
	do   func(nemesis, *Node) error
}{
	{"killed", nemesis.kill},
	{"frozen for longer than its leases", nemesis.freeze},
	{"cut off from the database", func(n nemesis, node *Node) error { return n.cut(node.Database) }},
	{"cut off from the store", func(n nemesis, node *Node) error { return n.cut(node.Store) }},
	{"cut off from both", func(n nemesis, node *Node) error { return n.cut(node.Database, node.Store) }},
	{"unheard by the database", func(n nemesis, node *Node) error { return n.stall(node.Database) }},
	{"unheard by the store", func(n nemesis, node *Node) error { return n.stall(node.Store) }},
	{"the database ends all connections", nemesis.cutDatabase},
	{"the store is killed", nemesis.killStore},
	{"all nodes are restarted in turn", func(n nemesis, _ *Node) error { return n.restartAll() }},
}

// hurt does as many faults as there are rounds, each kind once before any comes again.
func (n nemesis) hurt(rounds int) error {
	var order []int
	for round := range rounds {
		if len(order) == 0 {
			order = n.rng.Perm(len(faults))
		}
		f, node := faults[order[0]], n.cluster.Nodes[n.rng.IntN(len(n.cluster.Nodes))]
		order = order[1:]
		n.log("after %.1f s: %s: %s", time.Since(n.began).Seconds(), node.Name, f.name)
		if err := f.do(n, node); err != nil {
			return fmt.Errorf("round %d, %s: %w", round, f.name, err)
		}
		if err := errors.Join(n.recovered(), n.answered(20)); err != nil {
			return fmt.Errorf("round %d, after %s: %w", round, f.name, err)
		}
	}
	return nil
}

// last waits for as long as a fault lasts.
func (n nemesis) last(d time.Duration) error { return pause(n.ctx, d) }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// some returns how long a fault lasts: mostly for less time than leases do.
func (n nemesis) some() time.Duration {
	if n.rng.IntN(4) == 0 {
		return work.LeaseFor + 2*time.Second
	}
	return time.Second + time.Duration(n.rng.IntN(4000))*time.Millisecond
}

// busy has a node be at some unit of work, which it can't finish because it does not reach the store; a
// node that is given nothing to do for some seconds is hurt all the same.
func (n nemesis) busy(node *Node) error {
	node.Store.Stall()
	ctx, cancel := context.WithTimeout(n.ctx, 3*time.Second)
	defer cancel()
	err := until(ctx, func() (bool, error) {
		units, err := numbers(n.ctx, n.db, `SELECT id FROM units WHERE task <> '' AND owner LIKE '%/' || $1::text || '/%'`, fmt.Sprint(node.ID()))
		if len(units) > 0 {
			n.log("%s is at %d units of work", node.Name, len(units))
		}
		return len(units) > 0, err
	})
	if ctx.Err() != nil {
		return n.ctx.Err()
	}
	return err
}

func (n nemesis) kill(node *Node) error {
	return errors.Join(n.busy(node), node.Kill(), n.last(n.some()), n.mended(node.Store), node.Start(n.ctx))
}

func (n nemesis) freeze(node *Node) error {
	d := work.LeaseFor + 2*time.Second + time.Duration(n.rng.IntN(2000))*time.Millisecond
	return errors.Join(n.busy(node), node.Freeze(), n.mended(node.Store), n.last(d), node.Thaw())
}

func (n nemesis) mended(l *Link) error {
	l.Mend()
	return nil
}

func (n nemesis) cut(links ...*Link) error {
	for _, l := range links {
		l.Cut()
		defer l.Mend()
	}
	return n.last(n.some())
}

func (n nemesis) stall(l *Link) error {
	l.Stall()
	defer l.Mend()
	return n.last(n.some())
}

func (n nemesis) cutDatabase(*Node) error {
	for _, node := range n.cluster.Nodes {
		node.Database.Cut()
		defer node.Database.Mend()
	}
	return n.last(time.Duration(n.rng.IntN(3000)) * time.Millisecond)
}

func (n nemesis) killStore(*Node) error {
	return errors.Join(n.cluster.S3.Kill(), n.last(time.Duration(n.rng.IntN(3000))*time.Millisecond), n.cluster.S3.Start(n.ctx))
}

// restartAll ends and starts every node, one after the other.
func (n nemesis) restartAll() error {
	for _, node := range n.cluster.Nodes {
		if err := errors.Join(node.Stop(), node.Start(n.ctx)); err != nil {
			return err
		}
	}
	return nil
}

// recovered waits until all nodes are ready by themselves.
func (n nemesis) recovered() error {
	return until(n.ctx, func() (bool, error) {
		return !slices.ContainsFunc(n.cluster.Nodes, func(node *Node) bool { return !ready(n.ctx, node.Endpoint()) }), nil
	})
}

// answered waits until some more calls are answered.
func (w *world) answered(ctx context.Context, calls int) error {
	goal := -1
	for {
		w.mu.Lock()
		now, more := w.calls, w.progress
		w.mu.Unlock()
		if goal < 0 {
			goal = now + calls
		}
		if now >= goal {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("no more calls are answered: %w", ctx.Err())
		}
	}
}

func (n nemesis) answered(calls int) error { return n.world.answered(n.ctx, calls) }

// until waits for a condition.
func until(ctx context.Context, condition func() (bool, error)) error {
	for {
		if met, err := condition(); met || err != nil {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// TestHistory has clients ask three nodes for what there is to ask while these, their database
// and their store fail; then it looks whether their answers can be explained, and what is left
// behind.
func TestHistory(t *testing.T) {
	t.Parallel()
	for i := range *histories {
		t.Run(fmt.Sprintf("seed=%d", *seed+uint64(i)), func(t *testing.T) {
			t.Logf("again: -seed %d -rounds %d", *seed+uint64(i), *rounds)
			c, database := start(t, "--range-bytes", "1048576", "--hold-poll", "0")
			w := newWorld(t, c, *seed+uint64(i))
			w.under(t, database, func(n nemesis) error { return n.hurt(*rounds) })
			w.settle(t, database)
		})
	}
}

// TestRestarts restarts all nodes, one after the other, while clients ask for everything
// through the one address: no call fails.
func TestRestarts(t *testing.T) {
	t.Parallel()
	c, database := start(t, "--range-bytes", "1048576", "--hold-poll", "0")
	w := newWorld(t, c, *seed)
	w.strict = true
	w.under(t, database, nemesis.restartAll)
	w.settle(t, database)
}

// under does something while clients are at work, some of it before and some after.
func (w *world) under(t *testing.T, database string, fn func(nemesis) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(*rounds)*time.Minute)
	defer cancel()
	db, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	loaded, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.load(loaded, ctx)
	}()
	n := nemesis{w, ctx, rand.New(rand.NewPCG(w.seed, 1000)), db, t.Logf}
	err = n.answered(40)
	if err == nil {
		err = errors.Join(fn(n), n.answered(40))
	}
	stop()
	<-ended
	if err != nil {
		t.Fatal(err)
	}
}
