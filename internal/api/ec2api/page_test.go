package ec2api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

// numbers is a list of 0 to n-1 that counts what is read of it.
func numbers(n int, read *int, match func(int) bool) list[int] {
	return list[int]{
		next: inOrder(func(_ context.Context, after listing.Place, most int) ([]int, error) {
			var out []int
			for i := int(after.Created); i < n && len(out) < most; i++ {
				out = append(out, i)
			}
			*read += len(out)
			return out, nil
		}),
		place: func(i int) string { return listing.Place{Created: int64(i + 1), ID: "x"}.String() },
		match: match,
	}
}

// TestPagesOfAReader: every entry that matches comes once and in order, whatever
// the size of pages, and no request for a page reads more than it may.
func TestPagesOfAReader(t *testing.T) {
	const n = 3*maxRead + 5
	for _, limit := range []int{0, 1, 7, maxPage} {
		for name, match := range map[string]func(int) bool{
			"all": nil, "every third": func(i int) bool { return i%3 == 0 }, "hardly any": func(i int) bool { return i == 1 || i >= n-2 }, "none": func(int) bool { return false },
		} {
			if limit == 1 && name != "hardly any" && name != "none" {
				continue // too many pages
			}
			t.Run(fmt.Sprint(name, " by ", limit), func(t *testing.T) {
				var got, want []int
				for i := range n {
					if match == nil || match(i) {
						want = append(want, i)
					}
				}
				at := ""
				for more := true; more; {
					read := 0
					r := reader[int]{list: numbers(n, &read, match), reserve: func(int) error { return nil }, limit: limit, at: at}
					if err := r.read(t.Context()); err != nil {
						t.Fatal(err)
					}
					if limit > 0 && (len(r.shown) > limit || read > maxRead || match == nil && read > limit+1) {
						t.Fatalf("a page of %d shows %d and read %d", limit, len(r.shown), read)
					}
					got, at, more = append(got, r.shown...), r.at, r.more
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %d entries, want %d", len(got), len(want))
				}
			})
		}
	}
}

// TestMemoryOfAWholeList: a list that is wanted in one piece is read as long as there is
// memory for it, which is asked for as it grows.
func TestMemoryOfAWholeList(t *testing.T) {
	full := errors.New("no more memory")
	for _, tt := range []struct {
		name       string
		n          int
		most, want int // entries that there is memory for, and that are read
		err        error
	}{
		{"short", 20, 0, 20, nil},
		{"long", 5500, 5500, 5500, nil},
		{"too long", 5500, 2500, 3000, full},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read, asked := 0, 0
			r := reader[int]{list: numbers(tt.n, &read, nil), reserve: func(bytes int) error {
				if asked = bytes; bytes > tt.most*entryBytes {
					return full
				}
				return nil
			}}
			if err := r.read(t.Context()); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if read != tt.want || tt.most > 0 && asked != tt.want*entryBytes {
				t.Errorf("%d entries were read, and memory was asked for %d", read, asked/entryBytes)
			}
		})
	}
}

func TestPlaceThatIsNone(t *testing.T) {
	read := 0
	r := reader[int]{list: numbers(1, &read, nil), at: "20260304050607.089000000 import-snap-1"}
	if err := r.read(t.Context()); !errors.Is(err, errPlace) {
		t.Errorf("got %v, want %v", err, errPlace)
	}
}

// asked is a task service that remembers which filter it was asked for.
type asked struct {
	*imports
	filters []importtask.Filter
}

func (a *asked) Tasks(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) ([]importtask.Task, error) {
	a.filters = append(a.filters, f)
	return a.imports.Tasks(ctx, home, f, after, limit)
}

// TestStoresReadWhatFiltersLookFor: filters that name exactly what they look for
// reach the store, and the answer is the same as without that.
func TestStoresReadWhatFiltersLookFor(t *testing.T) {
	states := func(s ...importtask.State) importtask.Filter {
		return importtask.Filter{States: append([]importtask.State{}, s...)}
	}
	tests := []struct {
		name   string
		params []string
		want   importtask.Filter
		found  int
	}{
		{"none", nil, importtask.Filter{}, 3},
		{"a state", []string{"Filter.1.Name=task-state", "Filter.1.Value.1=active"}, states(importtask.Active), 1},
		{"states by a pattern", []string{"Filter.1.Name=task-state", "Filter.1.Value.1=*e?ed"}, states(importtask.Completed, importtask.Deleted), 2},
		{"no state", []string{"Filter.1.Name=task-state", "Filter.1.Value.1=Active"}, states(), 0},
		{"a tag", []string{"Filter.1.Name=tag:Stage", "Filter.1.Value.1=", "Filter.1.Value.2=x"}, importtask.Filter{IDs: []string{taskC}}, 1},
		{"a tag that none has", []string{"Filter.1.Name=tag:Stage", "Filter.1.Value.1=x"}, importtask.Filter{IDs: []string{}}, 0},
		{"two tags", []string{"Filter.1.Name=tag:Stage", "Filter.1.Value.1=", "Filter.2.Name=tag:Name", `Filter.2.Value.1=web\*1`}, importtask.Filter{IDs: []string{taskC}}, 0},
		{"a tag by a pattern", []string{"Filter.1.Name=tag:Name", "Filter.1.Value.1=web*"}, importtask.Filter{}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := threeTasks()
			spy := &asked{imports: f.imports}
			f.API.Tasks = spy
			got := f.ok(t, "DescribeImportSnapshotTasks", tt.params...)
			if len(got.Tasks) != tt.found {
				t.Errorf("found %d, want %d", len(got.Tasks), tt.found)
			}
			for _, asked := range spy.filters {
				if !same(asked.IDs, tt.want.IDs) || !same(asked.States, tt.want.States) {
					t.Errorf("the store was asked for %+v, want %+v", asked, tt.want)
				}
			}
		})
	}
}

// same tells nil, a filter that matches everything, from empty, one that matches
// nothing.
func same[T comparable](a, b []T) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// TestManyTagged: a tag that very many resources have does not narrow what the
// store reads.
func TestManyTagged(t *testing.T) {
	f := newFixture(nil)
	for i := range maxPage + 1 {
		f.imports.tasks = append(f.imports.tasks, importtask.Task{
			ID: fmt.Sprintf("import-snap-%017d", i), Account: account, CreatedAt: clock.Add(time.Duration(i) * time.Second), Tags: tag.Set{{Key: "k", Value: "v"}},
		})
	}
	spy := &asked{imports: f.imports}
	f.API.Tasks = spy
	got := f.ok(t, "DescribeImportSnapshotTasks", "Filter.1.Name=tag:k", "Filter.1.Value.1=v")
	if len(got.Tasks) != maxPage+1 || spy.filters[0].IDs != nil {
		t.Errorf("found %d, asked for %d ids", len(got.Tasks), len(spy.filters[0].IDs))
	}
}
