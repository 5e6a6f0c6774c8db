package wake_test

import (
	"testing"

	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/wake/waketest"
)

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestOneProcess: goroutines of one process share a bus.
func TestOneProcess(t *testing.T) {
	waketest.Test(t, func(*testing.T) (one, other *wake.Bus) {
		b := &wake.Bus{}
		return b, b
	})
}

func TestWakeEndsTheWaitsOfItsTopicAlone(t *testing.T) {
	var b wake.Bus
	one, stopOne := b.Wait(wake.Task("a"))
	two, stopTwo := b.Wait(wake.Task("a"))
	other, stopOther := b.Wait(wake.Work)
	b.Wake(wake.Task("a"))
	if !ended(one) || !ended(two) || ended(other) {
		t.Errorf("woken: %v %v, other topic %v", ended(one), ended(two), ended(other))
	}
	next, stopNext := b.Wait(wake.Task("a"))
	if ended(next) {
		t.Error("a wait that began after the wake has ended")
	}
	for _, stop := range []func(){stopOne, stopTwo, stopOne, stopNext} {
		stop()
	}
	b.Wake(wake.Work, wake.Task("nobody"))
	if !ended(other) {
		t.Error("the other topic was not woken")
	}
	stopOther()
}

// TestAWaitForSeveralTopics ends with the first of them, and then is over for the others.
func TestAWaitForSeveralTopics(t *testing.T) {
	var b wake.Bus
	for _, name := range []wake.Topic{wake.Work, wake.Task("a")} {
		woken, stop := b.Wait(wake.Work, wake.Task("a"))
		b.Wake(name, wake.Units("a"))
		if !ended(woken) {
			t.Errorf("%q did not end it", name)
		}
		b.Wake(wake.Work, wake.Task("a")) // would close a closed channel
		stop()
	}
}

// heard is a Link that notes what it is told.
type heard []wake.Topic

func (h *heard) Tell(names ...wake.Topic) { *h = append(*h, names...) }

// TestOthersAreTold of what is woken, but not of what came from them.
func TestOthersAreTold(t *testing.T) {
	var link heard
	b := wake.Bus{Link: &link}
	b.Deliver(wake.Task("from another node"))
	b.DeliverAll()
	if b.Wake(wake.Work); len(link) != 1 || link[0] != wake.Work {
		t.Errorf("told of %q", link)
	}
}

func TestDeliverAllEndsAllWaits(t *testing.T) {
	var b wake.Bus
	one, stopOne := b.Wait(wake.Task("a"))
	two, stopTwo := b.Wait(wake.Work, wake.Task("a"))
	b.DeliverAll()
	if !ended(one) || !ended(two) {
		t.Errorf("woken: %v %v", ended(one), ended(two))
	}
	stopOne()
	stopTwo()
}
