package metadb

import (
	goflag "flag"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

var wakes = goflag.Int("wakes", 8, "TestWakesOfEvents: how often each event is told, and after that by eight nodes at the same time")

// toldOf are the topics that are woken by what nodes wait for of each other.
var toldOf = map[string][]wake.Topic{
	"something to claim": {work.Due(work.Range)},
	"a heartbeat":        {wake.Task("import-snap-1")},
	"a cancel":           {wake.Task("import-snap-2"), work.Due(work.Cleanup), wake.Units("import-snap-2")},
	"a finished task":    {wake.Task("import-snap-3"), work.Due(work.LetGo)},
}

// TestWakesOfEvents tells events to another node, which is woken for every one of their topics,
// and by nothing else: no node looks by itself here. It prints how long that takes: one event at
// a time, and while eight nodes tell others all the time.
func TestWakesOfEvents(t *testing.T) {
	url := postgres.New(t)
	one, other := link(t, url), link(t, url)
	for _, how := range []string{"alone", "beside eight nodes that tell"} {
		stop := make(chan struct{})
		var telling sync.WaitGroup
		if how != "alone" {
			for range 8 {
				n := link(t, url)
				telling.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(5 * time.Millisecond): // as fast as the link tells
							n.bus.Wake(wake.Task("of somebody"), work.Due(work.Plan))
						}
					}
				})
			}
		}
		for event, topics := range toldOf {
			times := make([]time.Duration, *wakes)
			for i := range times {
				<-time.After(rand.N(20 * time.Millisecond)) // anywhere between two that are told
				times[i] = tellOther(t, one.bus, other.bus, topics)
			}
			slices.Sort(times)
			t.Logf("%s, %s: %d times: median %v, p99 %v, at most %v", event, how, len(times), times[len(times)/2], times[len(times)*99/100], times[len(times)-1])
		}
		close(stop)
		telling.Wait()
	}
}

// tellOther wakes topics, and returns how long it takes until waits of another node for each of
// them have ended.
func tellOther(t *testing.T, one, other *wake.Bus, topics []wake.Topic) time.Duration {
	t.Helper()
	here, leave := one.Wait(topics...)
	defer leave()
	var there []<-chan struct{}
	for _, topic := range topics {
		woken, stop := other.Wait(topic)
		defer stop()
		there = append(there, woken)
	}
	began := time.Now()
	one.Wake(topics...)
	select {
	case <-here:
	default:
		t.Error("the node itself was not woken at once")
	}
	for _, woken := range there {
		<-woken
	}
	return time.Since(began)
}
