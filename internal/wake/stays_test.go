package wake

import "testing"

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
	_, late := b.Wait(Work, Task("a"))
	b.Wake(Work)
	_, fresh := b.Wait(Work)
	late() // of the wait that was woken, not of the one that goes on
	if len(b.waiting) != 1 {
		t.Errorf("%d topics while one is waited for, and the end of an old wait", len(b.waiting))
	}
	fresh()
	if len(b.waiting) != 0 {
		t.Errorf("%d topics stay", len(b.waiting))
	}
}
