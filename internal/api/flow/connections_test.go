package flow_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/api/flow/flowtest"
)

// crowd is a server for at most so many connections. A request for /known proves that the
// account that is its host sends it; one for a path that ends in /held is not answered before the channel is
// closed.
func crowd(t *testing.T, most int) (f fixture, release chan struct{}) {
	t.Helper()
	f = fixture{log: &bytes.Buffer{}, metrics: prometheus.NewRegistry()}
	f.control = flow.New(flow.Options{Limits: limits, Log: slog.New(slog.NewTextHandler(f.log, nil)), Metrics: f.metrics, Operator: "operator"})
	connections := f.control.Connections(most)
	release = make(chan struct{})
	f.Network = flowtest.Serve(t, &http.Server{
		ConnState:   connections.State,
		ConnContext: connections.Context,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := f.control.Begin(w, r, "id-1")
			defer x.End()
			if r.URL.Path != "/" && x.Prove(r.Host) != nil {
				fmt.Fprint(x.Writer(), "busy")
				return
			}
			if r.URL.Path == "/known/held" {
				<-release
			}
			fmt.Fprint(x.Writer(), "ok")
		}),
	}, connections.Listener)
	return f, release
}

// TestAProbeFindsRoom: signed requests leave something to those that are not.
func TestAProbeFindsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, release := crowd(t, 32)
		defer close(release)
		for i := range 30 {
			f.Dial(t).Send(fmt.Sprintf("GET /known/held HTTP/1.1\nHost: a%d\n\n", i%2))
		}
		synctest.Wait()
		c := f.Dial(t)
		c.Send("GET /known HTTP/1.1\nHost: a\n\n")
		if _, text, err := c.Answer("GET"); text != "busy" || err != nil {
			t.Errorf("one more signed request got %q, %v", text, err)
		}
		c = f.Dial(t) // who could stop the others is not kept out by them
		c.Send("GET /known HTTP/1.1\nHost: operator\n\n")
		if _, text, err := c.Answer("GET"); text != "ok" || err != nil {
			t.Errorf("the operator's request got %q, %v", text, err)
		}
		_ = c.Close()
		synctest.Wait()
		f.Dial(t).Send("GET /known/held HTTP/1.1\nHost: operator\n\n")
		synctest.Wait()
		c = f.Dial(t)
		c.Send("GET /known HTTP/1.1\nHost: operator\n\n")
		if _, text, err := c.Answer("GET"); text != "busy" || err != nil {
			t.Errorf("one more request of the operator got %q, %v", text, err)
		}
		for range 10 {
			ask(t, f.Dial(t), "/")
		}
	})
}

// TestAnAccountLeavesRoomForOthers: however many requests of one account are being
// answered, those of another are.
func TestAnAccountLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 32 // 30 of them for signed requests, 21 for those of one account
		f, release := crowd(t, most)
		var greedy []*flowtest.Client
		for range 21 {
			greedy = append(greedy, f.Dial(t))
			greedy[len(greedy)-1].Send("GET /known/held HTTP/1.1\nHost: greedy\n\n")
		}
		synctest.Wait()
		answer := func(account, want string) {
			t.Helper()
			c := f.Dial(t)
			c.Send("GET /known HTTP/1.1\nHost: " + account + "\n\n")
			if _, text, err := c.Answer("GET"); text != want || err != nil {
				t.Errorf("one more request of %s got %q, %v, want %q", account, text, err, want)
			}
			_ = c.Close()
			synctest.Wait()
		}
		answer("greedy", "busy")
		for range 3 {
			answer("modest", "ok")
		}
		close(release)
		for _, c := range greedy {
			if _, text, err := c.Answer("GET"); text != "ok" || err != nil {
				t.Errorf("one of those before got %q, %v", text, err)
			}
		}
		synctest.Wait()
		answer("greedy", "ok")
	})
}

func ask(t *testing.T, c *flowtest.Client, path string) {
	t.Helper()
	c.Send("GET " + path + " HTTP/1.1\nHost: a\n\n")
	if _, text, err := c.Answer("GET"); text != "ok" || err != nil {
		t.Errorf("%s: got %q, %v", path, text, err)
	}
	synctest.Wait()
}

// TestCrowd: who has to go when there are too many connections, and that the new one is
// served.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, release := crowd(t, 4)
		busy, idle, oldest, older := f.Dial(t), f.Dial(t), f.Dial(t), f.Dial(t)
		busy.Send("GET /known/held HTTP/1.1\nHost: a\n\n")
		ask(t, idle, "/known")
		if got := f.value(t, "diskport_connections"); got != 4 {
			t.Errorf("%v connections, want 4", got)
		}

		ask(t, f.Dial(t), "/known")
		oldest.Closed(t)
		older.Send("GE") // half a header is no proof
		last := f.Dial(t)
		ask(t, last, "/known")
		older.Closed(t)

		ask(t, f.Dial(t), "/") // all have proved it: the one that was idle longest goes
		idle.Closed(t)
		ask(t, last, "/known")

		close(release)
		if _, text, err := busy.Answer("GET"); text != "ok" || err != nil {
			t.Errorf("the busy one got %q, %v", text, err)
		}
		if got := f.value(t, "diskport_connections_cut_total", "crowded"); got != 3 {
			t.Errorf("%v connections are counted as cut, want 3", got)
		}
		if got := f.value(t, "diskport_connections"); got != 4 {
			t.Errorf("%v connections, want 4", got)
		}
	})
}

// TestCrowdOfBusyClients: nobody whose request is being answered has to go for a new
// one.
func TestCrowdOfBusyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, release := crowd(t, 2)
		clients := []*flowtest.Client{f.Dial(t), f.Dial(t)}
		for i, c := range clients {
			c.Send(fmt.Sprintf("GET /known/held HTTP/1.1\nHost: a%d\n\n", i))
		}
		synctest.Wait()
		f.Dial(t).Closed(t)
		close(release)
		for _, c := range clients {
			if _, text, err := c.Answer("GET"); text != "ok" || err != nil {
				t.Errorf("got %q, %v", text, err)
			}
			_ = c.Close()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := f.value(t, "diskport_connections"); got != 0 {
			t.Errorf("%v connections are left", got)
		}
		ask(t, f.Dial(t), "/")
	})
}
