package torture

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/client"
	"github.com/diskport/diskport/internal/failpoint"
)

// commits are the events of the ordering invariant and of what surrounds it: each has a
// point before and one after its commit. One takes more data than this load has: that which
// registers pages of a large manifest.
var commits = []string{
	"Open", // migrations, one after the other
	// An import.
	"Objects.Pin", "Tasks.Create", "Tasks.CreateImage", "Work.Claim", "Catalog.EnsureDomain", "Tasks.Planned", "Tasks.Split", "Catalog.CreateFile",
	"Tasks.FinishSlice", "Tasks.FinishRange", "Tasks.Publish", "Tasks.Cancel", "Tasks.CleanedUp", "Objects.Release",
	// Direct writes and copies.
	"Snapshots.Start", "Snapshots.BeginAppend", "Snapshots.Append", "Snapshots.Complete", "Snapshots.Split", "Snapshots.Copied", "Snapshots.Publish", "Snapshots.Delete", "Snapshots.LetGo",
	// What is deleted is freed.
	"Garbage.NextPass", "Garbage.TakePages", "Garbage.TakeBlocks", "Garbage.Condemn", "Garbage.InFlight", "Garbage.DeleteCondemned",
	"Garbage.Settle", "Garbage.NotePages", "Garbage.NoteBlocks", "Garbage.Expanded", "Garbage.TakeFiles", "Garbage.ForgetFiles",
	// Packs are rewritten.
	"Packs.Begin", "Packs.Move",
	// Objects.
	"Objects.AddPieces", "Objects.Put", "Objects.CreateUpload", "Objects.PutPart", "Objects.CompleteUpload", "Objects.Delete", "Objects.Garbage", "Objects.ForgetPieces",
	// Keys are replaced.
	"Catalog.ReplaceKeys", "KMS.ChangeKey", "Kept.Replace",
}

// steps of files.
var fileSteps = []string{
	"pack: made", "pack: written to", "pack: trimmed", "pack: durable, without its name", "pack: named", "pack: durable", "pack: removed",
	"pages: durable", "root: durable", "root: removed", "objects: durable", "objects: removed",
	"gc: has waited", "gc: has marked", "identity of the store: named", "a folder of the store: made", "scratch: made",
	"master.key: durable, without its name", "master.key.next: named", "master.key.former: named", "master.key: named", "master.key.next: removed",
	"pack: set aside",
}

// bucketSteps are the steps of files in a bucket.
var bucketSteps = []string{
	"pack: an upload started", "pack: a part stored", "pack: all parts stored", "pack: put together", "pack: stored at once", "pack: closed",
	"pages: stored at once", "pages: closed", "root: stored at once", "root: closed", "pack: marked as removed", "root: marked as removed",
	"pack: copied", "pack: set aside, and still in the store", "gc: has waited", "gc: has marked", "identity of the store: named", "scratch: made",
}

// TestEveryStepHasAPoint has a service do everything once, one thing after the other, and
// looks whether it came to all points: kills at points are only as good as these.
func TestEveryStepHasAPoint(t *testing.T) {
	at := alone(filepath.Join(t.TempDir(), "data"))
	everyStep(t, at, newWorld(makeImages(t, allDisks)), fileSteps)
}

// TestEveryStepOnNodes does so with a node.
func TestEveryStepOnNodes(t *testing.T) {
	everyStep(t, shares(t), newWorld(makeImages(t, append(slices.Clone(allDisks), wideDisk))), bucketSteps)
}

func everyStep(t *testing.T, at site, w *world, files []string) {
	t.Helper()
	late := time.After(patience)
	seen := newPoints(t)
	want := slices.Clone(files)
	for _, event := range commits {
		if at.shared == nil || !strings.HasPrefix(event, "Objects.") {
			want = append(want, event+failpoint.Before, event+failpoint.After)
		}
	}
	s := at.serve(t, arm{seen: seen.path})
	w.prepare(t, s)
	rng := rand.New(rand.NewPCG(*seed, 3))
	c := caller{w, s, s.ctx, rng}
	must := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range w.images {
		for range 2 {
			i := &importing{token: w.name("import"), image: w.images[i], encrypt: w.images[i].format == "RAW"}
			w.imports = append(w.imports, i)
			must(c.ask(i))
		}
	}
	for cancelled := false; !cancelled; { // one may be quicker than its cancellation
		i := &importing{token: w.name("import"), image: w.images[0], cancel: true}
		w.imports = append(w.imports, i)
		must(c.ask(i))
		err := c.s.Cancel(c.ctx, i.id)
		if cancelled = err == nil; !isCode(err, "DeleteConversionTaskError") {
			must(err)
		}
	}
	must(c.write(), c.write(), c.answerAll(), c.endAll())
	made := slices.Sorted(maps.Keys(w.snaps))
	for i, id := range made {
		must(c.copyOf(w.snaps[id], i%2 == 0), c.copyOf(w.snaps[id], i%2 != 0))
		if i%5 == 4 {
			must(c.endAll()) // an account may have 20 under way
		}
	}
	if at.shared == nil {
		for range 10 {
			must(c.put(), c.removeObject(), c.upload())
		}
	}
	must(c.endAll(), c.deregister(), c.compact())
	one := "" // stays, and with it what some of the others name
	for _, id := range slices.Sorted(maps.Keys(w.snaps)) {
		if sn := w.snaps[id]; one == "" && maps.Equal(sn.blocks, w.images[1].disks[0]) {
			one = id
		} else {
			must(c.delete(sn))
		}
	}
	must(c.collect(), c.compact(), c.collect())
	_, err := s.RotateMaster(s.ctx)
	must(err)
	for _, rewrap := range []bool{true, false} {
		_, err := s.Rotate(s.ctx, client.Rotation{KMSKey: w.kmsKey, Rewrap: rewrap}, func(int64, int64) {})
		must(err)
	}
	s.stop(t)
	name := at.strange(t)
	s = at.serve(t, arm{seen: seen.path})
	c = caller{w, s, s.ctx, rng}
	if _, err := s.s3.ListBuckets(s.ctx, &s3.ListBucketsInput{MaxBuckets: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	if freed, err := s.CollectGarbage(s.ctx); err != nil || len(freed.Damaged) > 0 {
		t.Errorf("collected %+v, %v", freed, err)
	}
	if found := at.takeAside(t); len(found) != 1 || !strings.HasSuffix(found[0], filepath.Base(name)) {
		t.Errorf("%q were set aside, want %s", found, name)
	}
	for len(seen.missing(t, want)) > 0 { // objects are swept by and by
		select {
		case <-s.ended:
		case <-time.After(10 * time.Millisecond):
			continue
		case <-late:
		}
		t.Fatalf("there are no points %q", seen.missing(t, want))
	}
	c.settle(t)
	for _, what := range w.broken {
		t.Error(what)
	}
	names := seen.list(t)
	slices.Sort(names)
	t.Logf("%d points:\n%s", len(names), strings.Join(names, "\n"))
}

// missing returns the points that should have been come to, and were not.
func (p *points) missing(t *testing.T, want []string) []string {
	t.Helper()
	names := p.list(t)
	return slices.DeleteFunc(slices.Clone(want), func(name string) bool { return slices.Contains(names, name) })
}

// TestKilledWhileMigrating kills the service at commits of its first start, on an empty
// directory and on one that an earlier version wrote, and starts it again.
func TestKilledWhileMigrating(t *testing.T) {
	died, seen := 0, newPoints(t)
	for _, former := range []string{"", "2026-11-2"} {
		for _, when := range []string{failpoint.After, failpoint.Before} {
			for n, more := 1, true; more; n++ {
				t.Run(fmt.Sprintf("%s%s %d", former, when, n), func(t *testing.T) {
					data := filepath.Join(t.TempDir(), "data")
					if former != "" {
						unpack(t, former, data)
					}
					s := serve(t, data, arm{point: fmt.Sprintf("Open%s#%d", when, n), seen: seen.path})
					s.kill(t)
					if more = s.endpoint == ""; !more {
						return // there are fewer commits
					}
					if died++; !s.killed() {
						t.Fatalf("it ended with %v\n%s", s.err, s.tail())
					}
					startsAgain(t, data)
				})
			}
		}
	}
	if died < 10 {
		t.Errorf("it was killed %d times", died)
	}
}

// unpack lays out a data directory that an earlier version wrote.
func unpack(t *testing.T, name, data string) {
	t.Helper()
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	run(t, "tar", "-xzf", filepath.Join("..", "testdata", "data", name+".tar.gz"), "-C", data)
}

// startsAgain starts the service, and reads all snapshots back.
func startsAgain(t *testing.T, data string) {
	t.Helper()
	s := serve(t, data, arm{})
	if s.endpoint == "" {
		t.Fatalf("it did not start again: %v\n%s", s.err, s.tail())
	}
	all, err := s.Snapshots(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, sn := range all {
		if sn.State != "completed" {
			continue
		}
		if v, err := s.Verify(s.ctx, sn.ID, client.Watching{}); err != nil || !v.OK {
			t.Errorf("%s reads as %+v, %v", sn.ID, v, err)
		}
	}
	if f, err := s.CollectGarbage(s.ctx); err != nil || len(f.Damaged) > 0 {
		t.Errorf("collected %+v, %v", f, err)
	}
	s.stop(t)
}
