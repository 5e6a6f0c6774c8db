package wake

import "testing"

func ended(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWakeEndsTheWaitsOfItsTopicAlone(t *testing.T) {
	var b Bus
	one, stopOne := b.Wait(Task("a"))
	two, stopTwo := b.Wait(Task("a"))
	other, stopOther := b.Wait(Work)
	b.Wake(Task("a"))
	if !ended(one) || !ended(two) || ended(other) {
		t.Errorf("woken: %v %v, other topic %v", ended(one), ended(two), ended(other))
	}
	next, stopNext := b.Wait(Task("a"))
	if ended(next) {
		t.Error("a wait that began after the wake has ended")
	}
	for _, stop := range []func(){stopOne, stopTwo, stopOne, stopNext} {
		stop()
	}
	b.Wake(Work, Task("nobody"))
	if !ended(other) {
		t.Error("the other topic was not woken")
	}
	stopOther()
}

// TestNothingStays: there are as many topics as tasks, so none may be kept once no
// goroutine waits for it.
func TestNothingStays(t *testing.T) {
	var b Bus
	for _, id := range []string{"a", "b"} {
		_, first := b.Wait(Task(id))
		_, second := b.Wait(Task(id))
		first()
		first() // once only
		if len(b.waiting) != 1 {
			t.Fatalf("%d topics while one is waited for", len(b.waiting))
		}
		second()
	}
	_, late := b.Wait(Work)
	b.Wake(Work)
	_, fresh := b.Wait(Work)
	late() // of the wait that was woken, not of the one that goes on
	if len(b.waiting) != 1 {
		t.Error("the end of an old wait ended a new one")
	}
	fresh()
	if len(b.waiting) != 0 {
		t.Errorf("%d topics stay", len(b.waiting))
	}
}
