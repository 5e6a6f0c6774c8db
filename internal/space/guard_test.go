package space

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// fake is a disk of 1 GiB, whose mark is 64 MiB. Folder "other" is a disk of its own.
type fake struct {
	free    int64
	other   int64
	ballast int64
	broken  error // of SetBallast
}

const (
	mib  = 1 << 20
	mark = 64 * mib
)

func (f *fake) Room(dir string) (free, total int64, err error) {
	if dir == "other" {
		return f.other, 32 * mib, nil
	}
	return f.free, 1024 * mib, nil
}

func (f *fake) Ballast(string) (int64, error) { return f.ballast, nil }

func (f *fake) SetBallast(_ string, n int64) error {
	if f.broken != nil {
		return f.broken
	}
	if f.free+f.ballast < n {
		return unix.ENOSPC
	}
	f.free, f.ballast = f.free+f.ballast-n, n
	return nil
}

func newFake(t *testing.T, f *fake, others ...string) (*Guard, *[]State) {
	t.Helper()
	var changes []State
	g, err := NewGuard(Options{Dir: "data", Others: others, Disk: f})
	if err != nil {
		t.Fatal(err)
	}
	g.Observe(func(_ context.Context, s State) error {
		changes = append(changes, s)
		return nil
	})
	return g, &changes
}

func grows(g *Guard) bool { return g.Growth() == nil }

func TestGuardRefusesGrowthBelowItsMark(t *testing.T) {
	f := &fake{free: 500 * mib}
	g, changes := newFake(t, f)
	if f.ballast != mark || f.free != 436*mib {
		t.Fatalf("the ballast takes %d MiB, %d are free", f.ballast/mib, f.free/mib)
	}
	for _, step := range []struct {
		free  int64
		grows bool
	}{
		{436 * mib, true}, {mark, true}, {mark - 1, false}, {mark, false}, {2*mark - 1, false}, {2 * mark, true}, {mark, true}, {0, false}, {400 * mib, true},
	} {
		f.free = step.free
		if grows(g) != step.grows {
			t.Errorf("with %d bytes free: growth allowed = %t, want %t", step.free, !step.grows, step.grows)
		}
		if spare, want := g.Spare(f.free), max(0, f.free-mark); step.grows && spare != want || !step.grows && spare != 0 {
			t.Errorf("with %d bytes free, %d are to spare", step.free, spare)
		}
	}
	if g.tell(t.Context()); len(*changes) != 4 || (*changes)[0].Full == nil || (*changes)[1].Full != nil {
		t.Errorf("told of %+v, want two times of want and two ends", *changes)
	}
	f.free = 5 * mib
	var full *FullError
	if err := g.Growth(); !errors.As(err, &full) || !errors.Is(err, ErrFull) || full.Dir != "data" || full.Free != 5*mib || full.Need != mark {
		t.Errorf("refused with %+v", full)
	}
	if s := g.State(); s.Full == nil || s.Free != 5*mib || s.Mark != mark || s.Needed != 2*mark || s.Ballast != mark || s.Since.IsZero() {
		t.Errorf("state %+v", s)
	}
}

// TestGuardLetsGoInPieces: what is under way may take half of the ballast, what frees
// room all of it; and it is made anew when there is room for growth too.
func TestGuardLetsGoInPieces(t *testing.T) {
	f := &fake{free: 500 * mib}
	g, _ := newFake(t, f)
	f.free = 0
	for i := range pieces {
		purpose := ToGoOn
		if i >= pieces/2 {
			if g.LetGo(ToGoOn) {
				t.Errorf("the half for what frees room was let go for something else: %d MiB are left", f.ballast/mib)
			}
			purpose = ToFree
		}
		if !g.LetGo(purpose) || f.free != mark/pieces {
			t.Fatalf("piece %d: %d bytes are free", i, f.free)
		}
		if grows(g) {
			t.Error("the ballast was let go for growth")
		}
		f.free = 0 // another program takes it
	}
	if g.LetGo(ToFree) || f.ballast != 0 {
		t.Error("more was let go than the ballast")
	}
	for _, step := range []struct {
		free    int64
		ballast int64
	}{{mark, 0}, {3*mark - 1, 0}, {3 * mark, mark}} {
		f.free = step.free
		if g.Check(); f.ballast != step.ballast || grows(g) != (step.ballast > 0) {
			t.Errorf("with %d bytes free the ballast is %d, want %d", step.free, f.ballast, step.ballast)
		}
	}
}

// TestGuardWithoutItsBallast: somebody removes the file, which then is neither let go nor
// counted as what stands.
func TestGuardWithoutItsBallast(t *testing.T) {
	f := &fake{free: 500 * mib}
	g, _ := newFake(t, f)
	f.ballast, f.free = 0, 60*mib
	if g.LetGo(ToFree) || f.free != 60*mib {
		t.Errorf("a ballast that is gone was let go; %d MiB are left of 60", f.free/mib)
	}
	f.free = 500 * mib
	if g.Check(); f.ballast != mark || g.State().Ballast != mark {
		t.Errorf("it was not made anew: %d MiB", f.ballast/mib)
	}
}

// TestGuardSqueezes: what gives back more than it takes has some of the mark, and of the
// ballast what is not for deletions.
func TestGuardSqueezes(t *testing.T) {
	f := &fake{free: 500 * mib, other: 20 * mib}
	g, _ := newFake(t, f, "other")
	f.free, f.other = mark-1, 3*mib
	if n := g.Squeeze("data"); n != mark*3/4-1 || f.ballast != mark || g.Rewriting() != nil || g.Growth() == nil {
		t.Errorf("%d bytes below the mark, %v", n, g.Rewriting())
	}
	if n := g.Squeeze("other"); n != 2*mib {
		t.Errorf("%d bytes on the other disk", n)
	}
	f.free = 0
	if g.Rewriting() == nil {
		t.Error("rewriting goes on with nothing free")
	}
	if n := g.Squeeze("data/blocks"); n != mark/4 || f.ballast != mark/2 || g.Rewriting() != nil {
		t.Errorf("%d bytes with nothing free; %d of the ballast are left", n, f.ballast)
	}
	f.free = 0 // somebody else takes it
	if n := g.Squeeze("data"); n != 0 || f.ballast != mark/2 {
		t.Errorf("%d bytes, and %d of the ballast are left", n, f.ballast)
	}
	f.free, f.other = mark, mib/2
	if g.Rewriting() == nil {
		t.Error("rewriting fills the other disk")
	}
}

func TestGuardFreeing(t *testing.T) {
	needs := func(f *fake, n int64) func() error {
		return func() error {
			if f.free < n {
				return fmt.Errorf("writing: %w", unix.ENOSPC)
			}
			return nil
		}
	}
	f := &fake{free: 500 * mib}
	g, _ := newFake(t, f)
	f.free = 0
	if err := g.Freeing(needs(f, 20*mib)); err != nil || f.ballast != mark-3*mark/pieces {
		t.Errorf("%v; %d MiB of the ballast are left, want all but three pieces", err, f.ballast/mib)
	}
	if err := g.Freeing(needs(f, 65*mib)); !IsFull(err) || f.ballast != 0 {
		t.Errorf("more than there can be: %v", err)
	}
	other := errors.New("on fire")
	f.ballast, f.free = mark, 0
	g, _ = newFake(t, f)
	left := f.ballast
	if err := g.Freeing(func() error { return other }); !errors.Is(err, other) || f.ballast != left {
		t.Errorf("%v; %d of %d bytes left: the ballast is no help", err, f.ballast, left)
	}
}

// TestGuardStartsOnASpentDisk: a start finds some room, and refuses growth.
func TestGuardStartsOnASpentDisk(t *testing.T) {
	f := &fake{free: 0, ballast: mark}
	g, changes := newFake(t, f)
	if g.tell(t.Context()); f.free == 0 || grows(g) || len(*changes) != 1 {
		t.Errorf("%d bytes are free, told of %+v", f.free, *changes)
	}
	f = &fake{free: 100 * mib} // never had a ballast, and has no room for one
	if g, _ = newFake(t, f); grows(g) || f.ballast != 0 {
		t.Errorf("a ballast of %d MiB in %d MiB", f.ballast/mib, 100)
	}
}

func TestGuardOfSeveralDisks(t *testing.T) {
	f := &fake{free: 500 * mib, other: 20 * mib}
	g, _ := newFake(t, f, "other")
	if !grows(g) {
		t.Error("refused with room on both disks")
	}
	f.other = 3 * mib
	var full *FullError
	if err := g.Growth(); !errors.As(err, &full) || full.Dir != "other" || full.Need != minMark {
		t.Errorf("refused with %+v, want the other disk's mark", full)
	}
	if s := g.State(); s.Dir != "other" {
		t.Errorf("%s has least to spare, want the other", s.Dir)
	}
}

// TestBallastIsReal: the system's ballast takes blocks, shrinks and grows.
func TestBallastIsReal(t *testing.T) {
	dir, disk := t.TempDir(), system{}
	for _, n := range []int64{8 * mib, 3 * mib, 16 * mib, 0, 0} {
		if err := disk.SetBallast(dir, n); err != nil {
			t.Fatal(err)
		}
		if got, err := disk.Ballast(dir); err != nil || got != n {
			t.Errorf("a ballast of %d bytes takes %d, %v", n, got, err)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("a ballast of nothing leaves %v, %v", names, err)
	}
	path := filepath.Join(dir, ballastName)
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 8*mib)); err != nil {
		t.Fatal(err)
	}
	if got, err := disk.Ballast(dir); err != nil || got != 0 {
		t.Errorf("a sparse file counts as a ballast of %d bytes, %v", got, err)
	}
	if err := disk.SetBallast(dir, 8*mib); err != nil {
		t.Fatal(err)
	}
	if got, err := disk.Ballast(dir); err != nil || got != 8*mib {
		t.Errorf("its holes were not filled: %d bytes, %v", got, err)
	}
}

func TestIsFull(t *testing.T) {
	yes := []error{ErrFull, &FullError{}, &os.PathError{Err: unix.ENOSPC}, fmt.Errorf("x: %w", unix.EDQUOT)}
	no := []error{nil, os.ErrNotExist, unix.EIO}
	if i := slices.IndexFunc(yes, func(err error) bool { return !IsFull(err) }); i >= 0 {
		t.Errorf("%v does not count", yes[i])
	}
	if i := slices.IndexFunc(no, IsFull); i >= 0 {
		t.Errorf("%v counts", no[i])
	}
}
