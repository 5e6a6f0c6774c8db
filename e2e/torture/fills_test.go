package torture

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/e2e/smalldisk"
	"github.com/diskport/diskport/internal/audit"
	"github.com/diskport/diskport/internal/client"
	"github.com/diskport/diskport/internal/failpoint"
)

var fills = flag.Int("fills", 30, "how often the disk is filled")

// diskMiB is the size of the disk that is filled.
const diskMiB = 192

// fillsInARow is how often the disk is filled before the world is looked at.
const fillsInARow = 20

// fillsShare is what part of the budget is for fills.
const fillsShare = 4

// How long the service may take to come to the point at which the disk is to be full, and
// for how long it is.
const (
	untilPoint = 300 * time.Millisecond
	fullFor    = 150 * time.Millisecond
)

// TestFills fills the disk of a service at points and at any time, to the last byte or nearly
// so, under load, backups and an audit log on the same disk among it. It is not restarted for that:
// when there is room again it goes on, and nothing is lost or left behind.
func TestFills(t *testing.T) {
	disk := smalldisk.On(t, diskMiB, fmt.Sprintf("-seed=%d", *seed), fmt.Sprintf("-fills=%d", *fills), fmt.Sprintf("-budget=%v", *budget), "-keep="+*keep, "-program="+program)
	if disk == nil {
		return
	}
	t.Logf("seed %d", *seed)
	seen, data := newPoints(t), filepath.Join(disk.Dir, "data")
	defer keepData(t, data)
	w := newWorld(makeImages(t, allDisks))
	w.fills = true
	a := arm{seen: seen.path, hold: filepath.Join(t.TempDir(), "hold"), audit: filepath.Join(disk.Dir, "audit.log")}
	s := serve(t, data, a)
	w.prepare(t, s)
	f := &filler{w, disk, s, seen, rand.New(rand.NewPCG(*seed, 3)), filepath.Join(t.TempDir(), "backups"), 0}
	n, atPoints := 0, 0
	begun := time.Now()
	inTime := func() bool { return *budget == 0 || time.Since(begun) < *budget/fillsShare }
	for n < *fills && inTime() && f.well(t) {
		w.paused.Store(false)
		over := make(chan struct{})
		backedUp := f.backUp()
		go func() { w.load(s, uint64(n), math.MaxInt64-1, nil); close(over) }()
		for range fillsInARow {
			if n == *fills || !inTime() || !f.well(t) {
				break
			}
			if n++; f.fill(t) {
				atPoints++
			}
		}
		w.paused.Store(true)
		<-over
		<-backedUp
		if f.well(t) {
			caller{w, s, s.ctx, f.rng}.rest(t)
			s.connect(aws.NopRetryer{})
		}
	}
	t.Logf("%d fills, %d of them at %d of %d points; %d imports, %d drafts, %d copies", n, atPoints, len(seen.hit), len(seen.list(t)), len(w.imports), len(w.drafts), len(w.copies))
	if f.well(t) {
		// What a pin took whose task was never made, and whose release found no room either, is
		// let go within two hours, or by the next start.
		caller{w, s, s.ctx, f.rng}.rest(t)
		f.records(t, a.audit)
		f.lastBackup(t)
		s.stop(t)
		s = serve(t, data, arm{})
		if s.endpoint == "" {
			t.Fatalf("the service did not start: %v\n%s", s.err, s.tail())
		}
		caller{w, s, s.ctx, f.rng}.settle(t)
		f.restored(t, data)
	}
	for _, what := range w.broken {
		t.Error(what)
	}
	if t.Failed() {
		s.kill(t)
		t.Logf("the service said:\n%s", s.tail())
	}
}

// filler fills the disk under a service.
type filler struct {
	*world
	disk *smalldisk.Disk
	s    *service
	seen *points
	rng  *rand.Rand

	backups string // where they go, which is another disk
	made    int    // of them, while the disk was filled
}

// trail is the bucket that has the audit log.
const trail = "trail"

// backUp makes backups, one after the other, while the world is under load. One may find no room for
// its copy of the database, and says so then.
func (f *filler) backUp() <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for !f.paused.Load() && f.s.ctx.Err() == nil {
			_, err := f.s.Backup(f.s.ctx, client.Backup{Place: f.backups, Keep: 2}, func(int64, int64) {})
			switch {
			case err == nil:
				f.made++
			case f.s.ctx.Err() == nil && !isCode(err, full...):
				f.wrong("a backup on a full disk: %v", err)
				return
			}
		}
	}()
	return over
}

// lastBackup makes a backup of the service at rest.
func (f *filler) lastBackup(t *testing.T) {
	t.Helper()
	done, err := f.s.Backup(f.s.ctx, client.Backup{Place: f.backups, Keep: 1, Check: true}, func(int64, int64) {})
	if err != nil || len(done.Damaged)+len(done.Lost)+len(done.Again) > 0 {
		t.Errorf("the last backup is %+v, %v", done, err)
	}
	t.Logf("%d backups while the disk was filled", f.made)
}

// restored restores the last backup, and reads everything in it.
func (f *filler) restored(t *testing.T, data string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "restored")
	run(t, program, "restore", f.backups, "--data", to, "--master-key", filepath.Join(data, "master.key"))
	run(t, program, "verify", "--data", to)
}

// records checks the audit log: what is said to be written to the file and to the spool is in the
// file and in the bucket, once, and calls are recorded again.
func (f *filler) records(t *testing.T, file string) {
	t.Helper()
	last := "after-the-fills"
	if _, err := f.s.s3.CreateBucket(f.s.ctx, &s3.CreateBucketInput{Bucket: &last}); err != nil {
		t.Fatal(err)
	}
	for { // recorded when its answer has been sent, and delivered soon
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		delivered := f.delivered(t)
		if bytes.Contains(text, []byte(last)) && bytes.Contains(delivered, []byte(last)) {
			for to, text := range map[string][]byte{"file": text, "spool": delivered} {
				if got, want := len(recordsIn(t, text)), f.written(t, to); got != want {
					t.Errorf("%d records came by the %s, and %d were written", got, to, want)
				}
			}
			return
		}
		select {
		case <-f.s.ctx.Done():
			t.Fatal("the service ended")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// recordsIn returns the ids of the records in a text, none of which is there twice. Lines that a full disk
// has cut off are none.
func recordsIn(t *testing.T, text []byte) map[string]bool {
	t.Helper()
	ids := map[string]bool{}
	for line := range bytes.Lines(text) {
		var r audit.Record
		if json.Unmarshal(line, &r) != nil {
			continue
		}
		if ids[r.EventID] || r.EventID == "" {
			t.Errorf("a record is there twice, or none: %s", line)
		}
		ids[r.EventID] = true
	}
	return ids
}

// delivered returns the records in the bucket, as lines.
func (f *filler) delivered(t *testing.T) (lines []byte) {
	t.Helper()
	pages := s3.NewListObjectsV2Paginator(f.s.s3, &s3.ListObjectsV2Input{Bucket: aws.String(trail)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(f.s.ctx)
		if isCode(err, "NoSuchBucket") {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			out, err := f.s.s3.GetObject(f.s.ctx, &s3.GetObjectInput{Bucket: aws.String(trail), Key: o.Key})
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewReader(out.Body)
			var of struct{ Records []json.RawMessage }
			if err == nil {
				err = json.NewDecoder(z).Decode(&of)
			}
			if err := errors.Join(err, out.Body.Close()); err != nil {
				t.Fatalf("%s: %v", *o.Key, err)
			}
			for _, r := range of.Records {
				lines = append(append(lines, r...), '\n')
			}
		}
	}
	return lines
}

// written returns how many records the service says to have written.
func (f *filler) written(t *testing.T, to string) (n int) {
	t.Helper()
	resp, err := http.Get(f.s.endpoint + "/-/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	_, after, ok := strings.Cut(string(text), fmt.Sprintf("diskport_audit_records_total{end=\"written\",to=%q} ", to))
	if err != nil || !ok {
		t.Fatalf("the records to the %s are not counted: %v", to, err)
	}
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// well reports whether nothing is wrong yet, and the service runs.
func (f *filler) well(t *testing.T) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.s.ctx.Err() != nil && t.Context().Err() == nil {
		f.broken = append(f.broken, "the service ended on a full disk")
	}
	return len(f.broken) == 0 && !t.Failed()
}

// fill fills the disk, mostly while the service is held at a point, looks at the service, and
// makes room again. It returns true if the disk was filled at a point.
func (f *filler) fill(t *testing.T) (atPoint bool) {
	t.Helper()
	name := ""
	if f.rng.IntN(4) > 0 {
		name = f.seen.pick(t, f.rng)
		atPoint = f.hold(t, name)
	} else {
		time.Sleep(time.Duration(f.rng.Int64N(int64(fullFor))))
	}
	leave := []int64{0, 0, 4096, f.rng.Int64N(64 << 10), f.rng.Int64N(1 << 20), f.rng.Int64N(32 << 20)}
	f.disk.Fill(t, leave[f.rng.IntN(len(leave))])
	if atPoint {
		f.seen.hit[name]++
		f.letGo(t)
	}
	end := time.Now().Add(time.Duration(f.rng.Int64N(int64(fullFor))))
	greedy := f.rng.IntN(3) == 0 // it takes what the service lets go
	for time.Now().Before(end) && f.well(t) {
		if err := f.read(); err != nil {
			f.wrong("reading on a full disk: %v", err)
		}
		if greedy {
			f.disk.Fill(t, 0)
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.disk.Empty(t)
	return atPoint
}

// hold has whoever comes to a point next wait there, if somebody comes there soon.
func (f *filler) hold(t *testing.T, point string) bool {
	t.Helper()
	f.aim.Store(&point)
	defer f.aim.Store(nil)
	file := f.s.armed.hold
	if err := errors.Join(os.WriteFile(file+".new", []byte(point), 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(untilPoint); time.Now().Before(end) && f.s.ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(file + failpoint.Held); err == nil {
			return true
		}
	}
	if err := os.Remove(file); err == nil {
		return false
	}
	return f.s.ctx.Err() == nil // somebody came at the last moment
}

func (f *filler) letGo(t *testing.T) {
	t.Helper()
	if err := os.Remove(f.s.armed.hold + failpoint.Held); err != nil {
		t.Fatal(err)
	}
}

// read reads a snapshot, whatever the disk has room for.
func (f *filler) read() error {
	sn := f.take(f.rng, func(*snap) bool { return true })
	if sn == nil {
		return nil
	}
	defer f.world.release(sn)
	return caller{f.world, f.s, f.s.ctx, f.rng}.compareBlocks(sn)
}
