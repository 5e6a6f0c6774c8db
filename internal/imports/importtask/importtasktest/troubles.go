package importtasktest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/work"
)

// shown compares what goes wrong, but for when it began.
func shown(t *testing.T, when string, retry, wantRetry importtask.Retry, wait, wantWait importtask.Wait) {
	t.Helper()
	since := cmpopts.IgnoreFields(importtask.Retry{}, "Since")
	if diff := cmp.Diff(wantRetry, retry, since); diff != "" || retry.Since.IsZero() != (wantRetry.Failures == 0) {
		t.Errorf("%s, since %v (-want +got):\n%s", when, retry.Since, diff)
	}
	if diff := cmp.Diff(wantWait, wait, cmpopts.IgnoreFields(importtask.Wait{}, "Since")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// troublesShow: a task says what is tried again, since when and when next, by itself and
// in a list.
func troublesShow(t *testing.T, b Bench) {
	leases := b.planned(t, 1, 2)
	check := func(when string, want importtask.Retry, wait importtask.Wait) {
		t.Helper()
		for how, got := range map[string]importtask.Task{when: b.get(t, taskID(1)), when + ", in the list": b.list(t)[0]} {
			shown(t, how, got.Retry, want, got.Waiting, wait)
		}
	}
	check("nothing is wrong", importtask.Retry{}, importtask.Wait{})
	next := time.Now().Add(time.Second).Truncate(time.Microsecond).UTC()
	if err := b.Work.Retry(t.Context(), leases[0], "no answer", next); err != nil {
		t.Fatal(err)
	}
	check("one failed", importtask.Retry{Cause: "no answer", Failures: 1, Next: next}, importtask.Wait{})
	since := b.get(t, taskID(1)).Retry.Since
	if err := b.Work.Wait(t.Context(), leases[1], "space", next, time.Hour); err != nil {
		t.Fatal(err)
	}
	check("the other waits", importtask.Retry{Cause: "no answer", Failures: 1, Next: next}, importtask.Wait{For: "space"})
	l, ok, err := b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.Range}}, next)
	if err != nil || !ok || l.ID != leases[0].ID {
		t.Fatalf("claimed %+v, %v, %v", l, ok, err)
	}
	check("it is tried", importtask.Retry{Cause: "no answer", Failures: 1}, importtask.Wait{For: "space"})
	if err := b.Work.Retry(t.Context(), l, "half an answer", next); err != nil {
		t.Fatal(err)
	}
	check("it failed again", importtask.Retry{Cause: "half an answer", Failures: 2, Next: next}, importtask.Wait{For: "space"})
	if again := b.get(t, taskID(1)).Retry.Since; !again.Equal(since) {
		t.Errorf("it fails since %v, and then since %v", since, again)
	}
	if l, ok, err = b.Work.Claim(t.Context(), work.Claimer{Owner: "node", Kinds: []work.Kind{work.Range}}, next); err != nil || !ok {
		t.Fatal(ok, err)
	}
	b.finish(t, l, b.result(t, l, "x", "y"))
	check("it is done", importtask.Retry{}, importtask.Wait{For: "space"})
}

// troublesOfAnImageShow: so does the task of an image, and each of its disks.
func troublesOfAnImageShow(t *testing.T, b Bench) {
	b.createImage(t, newImageTask(1, 1, 2))
	l := b.claim(t, work.Plan)
	next := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	if err := b.Work.Retry(t.Context(), l, "no answer", next); err != nil {
		t.Fatal(err)
	}
	list, err := b.Tasks.ListImages(t.Context(), home, importtask.Filter{}, listing.Place{}, 10)
	if err != nil || len(list) != 1 {
		t.Fatal(len(list), err)
	}
	for how, task := range map[string]importtask.ImageTask{"by itself": b.getImage(t, 1), "in the list": list[0]} {
		shown(t, how, task.Retry, importtask.Retry{}, task.Waiting, importtask.Wait{})
		for _, d := range task.Disks {
			want := importtask.Retry{}
			if d.ID == l.Task {
				want = importtask.Retry{Cause: "no answer", Failures: 1, Next: next}
			}
			shown(t, how+", "+d.ID, d.Retry, want, d.Waiting, importtask.Wait{})
		}
	}
}
