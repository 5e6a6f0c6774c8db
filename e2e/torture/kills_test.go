package torture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// inARow is how often the service is killed before the world is looked at: fewer times
// than make a unit of work that was in flight each time poison.
const inARow = 12

// How long a service lives at most that is to be killed at any time, and one that is to be
// killed at a point, to which the load may not come: so many things that clients ask for, since
// on a slow machine less comes to pass in the same time. The kill comes a moment later, lest it
// always falls on the beginning of a request.
const (
	anyTime = 24
	atPoint = 60
	moments = 20 * time.Millisecond
)

// TestKills kills the service at points and at any time, under load, on one data
// directory.
func TestKills(t *testing.T) {
	at := alone(filepath.Join(t.TempDir(), "data"))
	defer keepData(t, at.data)
	kill(t, at, newWorld(makeImages(t, allDisks)), *kills)
}

// TestKillsOnNodes does so to a node, whose database is a PostgreSQL and whose store is a bucket.
func TestKillsOnNodes(t *testing.T) {
	tellApart(t)
	w := newWorld(makeImages(t, append(slices.Clone(allDisks), wideDisk)))
	clear(w.objects)
	kill(t, shares(t), w, *nodes)
}

// kill kills the service of a site many times.
func kill(t *testing.T, at site, w *world, kills int) {
	t.Helper()
	t.Logf("seed %d", *seed)
	rng, seen := rand.New(rand.NewPCG(*seed, 1)), newPoints(t)
	if at.shared != nil {
		seen.first = bucketSteps
	}
	s := at.serve(t, arm{seen: seen.path})
	w.prepare(t, s)
	s.stop(t)
	atPoints := 0
	n := 0
	for begun := time.Now(); n < kills && (*budget == 0 || time.Since(begun) < *budget) && len(w.broken) == 0 && !t.Failed(); {
		n++
		if w.life(t, at, seen, uint64(n), rng) {
			atPoints++
		}
		if n%inARow == 0 {
			w.lookAt(t, at, seen, uint64(n), rng)
		}
		if n%100 == 0 {
			t.Logf("%d kills, %d of them at points; %d imports, %d drafts, %d copies, %d snapshots now", n, atPoints, len(w.imports), len(w.drafts), len(w.copies), len(w.snaps))
		}
	}
	if n%inARow > 0 && len(w.broken) == 0 && !t.Failed() {
		w.lookAt(t, at, seen, uint64(n), rng)
	}
	names := seen.list(t)
	t.Logf("seed %d: %d kills, %d of them at %d of %d points; %v", *seed, n, atPoints, len(seen.hit), len(names), w.tally)
	t.Logf("at none of the kills at %q", slices.DeleteFunc(names, func(name string) bool { return seen.hit[name] > 0 }))
	if n < kills {
		t.Logf("out of time: %d kills are left", kills-n)
	}
	for _, what := range w.broken {
		t.Error(what)
	}
}

// prepare makes what the load needs.
func (w *world) prepare(t *testing.T, s *service) {
	t.Helper()
	if s.endpoint == "" {
		t.Fatalf("the service did not start:\n%s", s.tail())
	}
	if err := s.EnsureRole(s.ctx, "vmimport"); err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"images", "things"} {
		if _, err := s.s3.CreateBucket(s.ctx, &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range w.images {
		if _, err := s.s3.PutObject(s.ctx, &s3.PutObjectInput{Bucket: aws.String("images"), Key: &i.key, Body: bytes.NewReader(i.data)}); err != nil {
			t.Fatal(err)
		}
	}
	key, err := s.kms.CreateKey(s.ctx, &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	w.do(func() { w.kmsKey, w.ready = *key.KeyMetadata.Arn, true })
}

// life starts the service, loads it, and kills it. It returns true if it was killed at a
// point.
func (w *world) life(t *testing.T, at site, seen *points, n uint64, rng *rand.Rand) (killedAtPoint bool) {
	t.Helper()
	a := arm{seen: seen.path}
	name := ""
	if rng.IntN(4) > 0 {
		name = seen.pick(t, rng)
		a.point = fmt.Sprintf("%s#%d", name, 1+rng.IntN(2)*rng.IntN(3))
	}
	s := at.serve(t, a)
	if s.endpoint == "" && !s.killed() {
		t.Fatalf("life %d: the service did not start: %v\n%s", n, s.err, s.tail())
	}
	most := int64(atPoint)
	if name == "" {
		most = rng.Int64N(anyTime)
	}
	inTime, moment := true, time.Duration(rng.Int64N(int64(moments)))
	w.load(s, n, most, func() {
		inTime = false
		time.AfterFunc(moment, func() { _ = s.cmd.Process.Kill() })
	})
	<-s.ended
	at.lapse(t)
	if !s.killed() {
		w.wrong("life %d: the service ended with %v\n%s", n, s.err, s.tail())
	}
	w.do(func() {
		for _, d := range w.drafts {
			d.busy = false
		}
		for _, sn := range w.snaps {
			sn.busy = false
		}
	})
	if len(w.broken) > 0 {
		t.Logf("life %d, armed with %q:\n%s", n, a.point, s.tail())
	}
	if inTime && name != "" { // the load did not come to its end
		seen.hit[name]++
		return true
	}
	return false
}

// pick returns a point: one of those where the fewest processes died.
func (p *points) pick(t *testing.T, rng *rand.Rand) (name string) {
	t.Helper()
	n, least := 0, -1
	for _, at := range p.list(t) {
		if slices.Contains(p.first, at) && p.hit[at]+p.tried[at] == 0 {
			name = at
			break
		}
		switch hit := p.hit[at] + p.tried[at]; {
		case least < 0 || hit < least:
			name, n, least = at, 1, hit
		case hit == least:
			if n++; rng.IntN(n) == 0 {
				name = at
			}
		}
	}
	p.tried[name]++
	return name
}

// lookAt starts a service that is not killed, and has everything come to its end.
func (w *world) lookAt(t *testing.T, at site, seen *points, n uint64, rng *rand.Rand) {
	t.Helper()
	s := at.serve(t, arm{seen: seen.path})
	if s.endpoint == "" {
		t.Fatalf("after %d kills the service did not start: %v\n%s", n, s.err, s.tail())
	}
	caller{w, s, s.ctx, rng}.settle(t)
	if len(w.broken) > 0 || t.Failed() {
		t.Logf("looked at after %d kills:\n%s", n, s.tail())
	}
}
