// Package waketest is the suite for what carries wakes from one node to another: a Bus
// that goroutines of one process share, and the link of each database.
package waketest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/diskport/diskport/internal/wake"
)

// Test runs the suite. open returns the buses of two nodes that carry their wakes to each
// other already; in a single process they are the same one. No test looks by itself, so a wake
// that is lost is waited for until the test binary gives up.
func Test(t *testing.T, open func(t *testing.T) (one, other *wake.Bus)) {
	for name, fn := range map[string]func(*testing.T, *wake.Bus, *wake.Bus){
		"EveryTopicIsCarried":   everyTopicIsCarried,
		"OwnWakesComeOnce":      ownWakesComeOnce,
		"OthersAreNotWoken":     othersAreNotWoken,
		"AFloodReachesAll":      aFloodReachesAll,
		"NamesOfAnyLength":      namesOfAnyLength,
		"BothWaysAtTheSameTime": bothWaysAtTheSameTime,
	} {
		t.Run(name, func(t *testing.T) {
			one, other := open(t)
			fn(t, one, other)
		})
	}
}

// fence returns when the other bus, and then the first one, have all that was woken so far.
func fence(one, other *wake.Bus) {
	there, stopThere := other.Wait("fence there")
	defer stopThere()
	one.Wake("fence there")
	<-there
	back, stopBack := one.Wait("fence back")
	defer stopBack()
	other.Wake("fence back")
	<-back
}

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func everyTopicIsCarried(t *testing.T, one, other *wake.Bus) {
	for _, names := range [][]wake.Topic{
		{wake.Work}, {wake.Task("import-snap-1")}, {wake.Units("import-ami-1/1.1")}, {wake.Task("a"), wake.Work, wake.Units("b")},
	} {
		for _, name := range names {
			here, stopHere := one.Wait(name)
			there, stopThere := other.Wait(name)
			one.Wake(names...)
			if !ended(here) {
				t.Errorf("%q: the node itself was not woken at once", name)
			}
			<-there
			stopHere()
			stopThere()
		}
	}
}

// ownWakesComeOnce: what a node is told of its own wake would have it look twice.
func ownWakesComeOnce(t *testing.T, one, other *wake.Bus) {
	if one == other { // nothing can come back
		return
	}
	one.Wake(wake.Work)
	again, stop := one.Wait(wake.Work)
	defer stop()
	fence(one, other)
	if ended(again) {
		t.Error("a node was woken by its own wake once more")
	}
}

func othersAreNotWoken(t *testing.T, one, other *wake.Bus) {
	quiet, stop := other.Wait(wake.Task("b"), wake.Units("a"))
	defer stop()
	one.Wake(wake.Task("a"))
	fence(one, other)
	if ended(quiet) {
		t.Error("a wait for other topics has ended")
	}
}

// aFloodReachesAll: more wakes than are carried one by one.
func aFloodReachesAll(t *testing.T, one, other *wake.Bus) {
	const tasks = 5000
	var waits []<-chan struct{}
	for i := range tasks {
		woken, stop := other.Wait(wake.Task(fmt.Sprint("import-snap-", i)))
		defer stop()
		waits = append(waits, woken)
	}
	for i := range tasks {
		one.Wake(wake.Task(fmt.Sprint("import-snap-", i)), wake.Work)
	}
	for _, woken := range waits {
		<-woken
	}
}

// namesOfAnyLength: together they take more room than one notification has.
func namesOfAnyLength(t *testing.T, one, other *wake.Bus) {
	var names []wake.Topic
	for n := 1; n < 1<<14; n *= 2 {
		names = append(names, wake.Task(fmt.Sprintf("%0*d", n, 7)))
	}
	names = append(names, "quotes \" and \\ \n, and \x00")
	for _, name := range names {
		woken, stop := other.Wait(name)
		defer stop()
		one.Wake(names...)
		<-woken
	}
}

func bothWaysAtTheSameTime(t *testing.T, one, other *wake.Bus) {
	var nodes sync.WaitGroup
	for i, pair := range [][2]*wake.Bus{{one, other}, {other, one}} {
		nodes.Go(func() {
			for n := range 50 {
				name := wake.Task(fmt.Sprint(i, " ", n))
				woken, stop := pair[1].Wait(name)
				pair[0].Wake(name)
				<-woken
				stop()
			}
		})
	}
	nodes.Wait()
}
