// Package tagtest is the suite that every tag.Store passes.
package tagtest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/tag"
)

// Bench is a store under test with resources that have no tags: a task and a
// snapshot of account "a" in eu-north-1, a task of account "b" there, and one of "a" in
// us-east-1.
type Bench struct {
	Store          tag.Store
	Task, Snapshot string
	Foreign        string
	Elsewhere      string
}

// Test runs the suite; open returns a fresh bench.
func Test(t *testing.T, open func(t *testing.T) Bench) {
	for name, fn := range map[string]func(*testing.T, Bench){
		"AddAndOverwrite":        addAndOverwrite,
		"Remove":                 remove,
		"Pages":                  pages,
		"UnknownChangesNothing":  unknownChangesNothing,
		"AtMostFifty":            atMostFifty,
		"ConcurrentAddsStayInIt": concurrentAdds,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fn(t, open(t))
		})
	}
}

var home = awsid.Home{Account: "a", Region: "eu-north-1"}

func (b Bench) add(t *testing.T, tags []tag.Tag, resources ...string) {
	t.Helper()
	if err := b.Store.Add(t.Context(), home, resources, tags); err != nil {
		t.Fatal(err)
	}
}

// expect compares all tags of the account, as "resource key=value".
func (b Bench) expect(t *testing.T, want ...string) {
	t.Helper()
	list, err := b.Store.List(t.Context(), home, tag.Filter{}, tag.Place{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{b.Task: "task", b.Snapshot: "snap"}
	types := map[string]string{b.Task: "import-snapshot-task", b.Snapshot: "snapshot"}
	var got []string
	for _, x := range list {
		if x.Resource.Type != types[x.Resource.ID] {
			t.Errorf("%s has type %q", x.Resource.ID, x.Resource.Type)
		}
		got = append(got, names[x.Resource.ID]+" "+x.Tag.Key+"="+x.Tag.Value)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
}

func addAndOverwrite(t *testing.T, b Bench) {
	b.expect(t)
	b.add(t, []tag.Tag{{Key: "b", Value: "1"}, {Key: "B", Value: "2"}, {Key: "ä", Value: ""}}, b.Snapshot, b.Task, b.Task)
	b.add(t, []tag.Tag{{Key: "b", Value: "3"}}, b.Snapshot)
	b.expect(t, "task B=2", "task b=1", "task ä=", "snap B=2", "snap b=3", "snap ä=")
}

func remove(t *testing.T, b Bench) {
	b.add(t, []tag.Tag{{Key: "aws:x", Value: "1"}, {Key: "k", Value: "1"}, {Key: "l", Value: "2"}, {Key: "m", Value: "3"}}, b.Task, b.Snapshot)
	one, other := "1", "other"
	del := func(resource string, d ...tag.Deletion) {
		t.Helper()
		if err := b.Store.Remove(t.Context(), home, []string{resource}, d); err != nil {
			t.Fatal(err)
		}
	}
	del(b.Task, tag.Deletion{Key: "k", Value: &one}, tag.Deletion{Key: "l", Value: &other}, tag.Deletion{Key: "m"}, tag.Deletion{Key: "absent"})
	b.expect(t, "task aws:x=1", "task l=2", "snap aws:x=1", "snap k=1", "snap l=2", "snap m=3")
	del(b.Snapshot)
	b.expect(t, "task aws:x=1", "task l=2", "snap aws:x=1")
}

func pages(t *testing.T, b Bench) {
	b.add(t, []tag.Tag{{Key: "b", Value: "1"}, {Key: "B", Value: "2"}, {Key: "ä", Value: ""}}, b.Snapshot, b.Task)
	b.add(t, []tag.Tag{{Key: "c", Value: "1"}}, b.Snapshot)
	for id, where := range map[string]awsid.Home{b.Foreign: {Account: "b", Region: home.Region}, b.Elsewhere: {Account: "a", Region: "us-east-1"}} {
		if err := b.Store.Add(t.Context(), where, []string{id}, []tag.Tag{{Key: "b", Value: "1"}}); err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]string{b.Task: "task", b.Snapshot: "snap"}
	tests := []struct {
		name string
		f    tag.Filter
		want []string
	}{
		{"all", tag.Filter{}, []string{"task B", "task b", "task ä", "snap B", "snap b", "snap c", "snap ä"}},
		{"of one", tag.Filter{Resources: []string{b.Snapshot, b.Foreign, b.Elsewhere}}, []string{"snap B", "snap b", "snap c", "snap ä"}},
		{"of none", tag.Filter{Resources: []string{}}, nil},
		{"a tag", tag.Filter{Tag: &tag.Tag{Key: "b", Value: "1"}}, []string{"task b", "snap b"}},
		{"an empty tag", tag.Filter{Tag: &tag.Tag{Key: "ä"}}, []string{"task ä", "snap ä"}},
		{"a tag of one", tag.Filter{Tag: &tag.Tag{Key: "b", Value: "1"}, Resources: []string{b.Task}}, []string{"task b"}},
		{"a tag that none has", tag.Filter{Tag: &tag.Tag{Key: "b", Value: "2"}}, nil},
	}
	for _, tt := range tests {
		for limit := 1; limit < 9; limit++ {
			var got []string
			for after := (tag.Place{}); ; {
				list, err := b.Store.List(t.Context(), home, tt.f, after, limit)
				if err != nil || len(list) > limit {
					t.Fatalf("%s: %d tags on a page of %d, %v", tt.name, len(list), limit, err)
				}
				for _, x := range list {
					got = append(got, names[x.Resource.ID]+" "+x.Tag.Key)
					after = tag.Place{Resource: x.Resource.ID, Key: x.Tag.Key}
				}
				if len(list) < limit {
					break
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("%s in pages of %d (-want +got):\n%s", tt.name, limit, d)
			}
		}
	}
}

func unknownChangesNothing(t *testing.T, b Bench) {
	tags := []tag.Tag{{Key: "k", Value: "v"}}
	for _, unknown := range []string{b.Foreign, b.Elsewhere, "snap-00000000000000000", "import-snap-00000000000000000", "vol-1", ""} {
		err := b.Store.Add(t.Context(), home, []string{b.Task, b.Snapshot, unknown}, tags)
		if no, ok := errors.AsType[*tag.NoResourceError](err); !ok || no.ID != unknown {
			t.Errorf("add to %q: got %v, want a NoResourceError", unknown, err)
		}
		err = b.Store.Remove(t.Context(), home, []string{unknown}, nil)
		if _, ok := errors.AsType[*tag.NoResourceError](err); !ok {
			t.Errorf("remove from %q: got %v, want a NoResourceError", unknown, err)
		}
	}
	b.expect(t)
}

func numbered(from, n int) (tags []tag.Tag) {
	for i := range n {
		tags = append(tags, tag.Tag{Key: fmt.Sprintf("k%03d", from+i), Value: "v"})
	}
	return tags
}

func atMostFifty(t *testing.T, b Bench) {
	b.add(t, numbered(0, tag.MaxPerResource), b.Snapshot)
	err := b.Store.Add(t.Context(), home, []string{b.Task, b.Snapshot}, numbered(50, 1))
	if !errors.Is(err, tag.ErrTooMany) {
		t.Errorf("the 51st: got %v, want %v", err, tag.ErrTooMany)
	}
	b.add(t, numbered(0, tag.MaxPerResource), b.Snapshot) // overwriting is no addition
	list, err := b.Store.List(t.Context(), home, tag.Filter{}, tag.Place{}, 1000)
	if err != nil || len(list) != tag.MaxPerResource {
		t.Errorf("%d tags, %v, want %d", len(list), err, tag.MaxPerResource)
	}
}

func concurrentAdds(t *testing.T, b Bench) {
	const callers, each = 6, 10 // 50 fit
	var wg sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers {
		wg.Go(func() {
			errs[i] = b.Store.Add(t.Context(), home, []string{b.Task}, numbered(i*each, each))
		})
	}
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if errors.Is(err, tag.ErrTooMany) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	list, err := b.Store.List(t.Context(), home, tag.Filter{}, tag.Place{}, 1000)
	if err != nil || len(list) != tag.MaxPerResource || refused != 1 {
		t.Errorf("%d tags, %d refused, %v, want %d and 1", len(list), refused, err, tag.MaxPerResource)
	}
}
