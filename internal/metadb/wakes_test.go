package metadb

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/wake/waketest"
)

// linked is a node on a PostgreSQL database.
type linked struct {
	db    *DB
	bus   *wake.Bus
	link  *Wakes
	heard chan struct{} // has a value for each connection that listens
}

// link opens a node that listens, until the test ends.
func link(t *testing.T, url string) linked {
	t.Helper()
	n := linked{db: open(t, url), bus: &wake.Bus{}, heard: make(chan struct{}, 16)}
	n.link = n.db.Wakes(n.bus, func(err error) { t.Log(err) })
	n.link.listening = func() { n.heard <- struct{}{} }
	n.bus.Link = n.link
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.link.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	<-n.heard
	return n
}

func TestWakes(t *testing.T) {
	url := postgres.New(t)
	waketest.Test(t, func(t *testing.T) (one, other *wake.Bus) { return link(t, url).bus, link(t, url).bus })
}

func TestAnEmbeddedDatabaseHasNoOtherNodes(t *testing.T) {
	if link := open(t, t.TempDir()+"/m.db").Wakes(&wake.Bus{}, nil); link != nil {
		t.Error("it has a link")
	}
}

// TestAConnectionThatBreaks: what is told meanwhile may be missed, so all is woken once
// the node listens again; and then it hears as before.
func TestAConnectionThatBreaks(t *testing.T) {
	url := postgres.New(t)
	one, other := link(t, url), link(t, url)
	for range 3 {
		missed, stop := one.bus.Wait("nobody wakes it")
		if _, err := other.db.write.ExecContext(t.Context(), `
			SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN diskport_wakes' AND datname = current_database()`); err != nil {
			t.Fatal(err)
		}
		<-missed
		stop()
		<-one.heard
		<-other.heard
		woken, stop := one.bus.Wait(wake.Work)
		other.bus.Wake(wake.Work)
		<-woken
		stop()
	}
}

// TestAFloodFolds: however much is woken at a time, it takes few notifications.
func TestAFloodFolds(t *testing.T) {
	link := open(t, postgres.New(t)).Wakes(&wake.Bus{}, nil) // it does not run
	var some []wake.Topic
	for i := range mostTopics {
		some = append(some, wake.Task(fmt.Sprintf("import-snap-%017d", i)))
	}
	link.Tell(some...)
	link.Tell(some[:1]...)
	payloads := link.notices()
	if len(payloads) < 1 || len(payloads) > 3 || strings.Count(strings.Join(payloads, ""), "import-snap-") != mostTopics {
		t.Errorf("%d topics take %d notifications: %.200q", mostTopics, len(payloads), payloads)
	}
	for _, p := range payloads {
		if len(p) > mostBytes {
			t.Errorf("one has %d bytes", len(p))
		}
	}
	link.Tell(some...)
	link.Tell("one more")
	if payloads = link.notices(); len(payloads) != 1 || !strings.Contains(payloads[0], `"all":true`) {
		t.Errorf("more of them take %q", payloads)
	}
	link.Tell(wake.Task(strings.Repeat("x", mostBytes)), wake.Work)
	if payloads = link.notices(); len(payloads) != 1 || !strings.Contains(payloads[0], `"all":true`) {
		t.Errorf("one that is too long takes %.200q", payloads)
	}
}

// TestNoticesOfOthers: what this version can't read wakes all, for it may mean anything.
func TestNoticesOfOthers(t *testing.T) {
	one := link(t, postgres.New(t))
	for _, payload := range []string{"", "7", "{}", `{"from":"a newer one","kinds":[1]}`, `{"from":"x","topics":["work"]}`} {
		woken, stop := one.bus.Wait(wake.Work)
		if _, err := one.db.write.ExecContext(t.Context(), `SELECT pg_notify($1, $2)`, channel, payload); err != nil {
			t.Fatal(err)
		}
		<-woken
		stop()
	}
}
