package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/diskport/diskport/internal/client"
)

// How much TestLoad asks for; make load asks for 500 imports, 64 readers and 64 writers.
var (
	loadImports = flag.Int("imports", 48, "TestLoad: how many imports are asked for at once")
	loadClients = flag.Int("clients", 12, "TestLoad: how many clients read at the same time, and how many write")
	loadPasses  = flag.Int("passes", 2, "TestLoad: how much each of them reads or writes at most")
	loadSettle  = flag.Bool("settle", false, "TestLoad: wait until the runtime has collected its garbage, and compare the memory")
)

const (
	loadAccounts = 4 // one of which asks for one import alone
	// loadMemory is the most that the service may ever take: docs/limits.md says what it
	// is made of.
	loadMemory = 768 << 20
	// loadKept is what it may keep: the blocks that were read last, and caches of rows.
	loadKept = 48 << 20
)

// TestLoad asks for many imports at once, for several accounts, while clients read and
// write snapshots: each request is answered with success in the end, each snapshot has
// the right bytes, and nothing is left of it afterwards. It compares no times.
func TestLoad(t *testing.T) {
	t.Parallel()
	l := newLoad(t)
	before, err := l.usage()
	if err != nil {
		t.Fatal(err)
	}
	watched := l.watch()
	began := time.Now()
	var stop atomic.Bool // set when the imports have ended
	var others errgroup.Group
	for range *loadClients {
		others.Go(func() error { return repeat(&stop, *loadPasses, l.read) })
		others.Go(func() error { return repeat(&stop, *loadPasses, l.write) })
	}
	first, err := l.importAll(*loadImports)
	took := time.Since(began)
	stop.Store(true)
	if err := errors.Join(err, others.Wait(), watched()); err != nil {
		t.Fatal(err)
	}
	if *loadSettle && first > int64(*loadImports/5) {
		t.Errorf("the only import of an account waited for %d others", first)
	}
	t.Logf("%d imports in %.1f s, of which one that came alone waited for %d; %d snapshots read, %d written; requests tried again: %d", *loadImports, took.Seconds(), first, l.reads.Load(), l.writes.Load(), l.retries.Load())
	if high := l.highest(t); high > loadMemory {
		t.Errorf("the service took %d MiB, want at most %d MiB", high>>20, loadMemory>>20)
	} else {
		t.Logf("the service took %d MiB at most, %d goroutines and %d files", high>>20, l.most.goroutines, l.most.files)
	}
	l.settled(t, before)
}

// repeat calls fn until stop is set, at least once and at most a number of times.
func repeat(stop *atomic.Bool, most int, fn func() error) error {
	for n := 1; ; n++ {
		if err := fn(); err != nil || stop.Load() || n >= most {
			return err
		}
	}
}

// load is a service under load, and what was asked of it.
type load struct {
	*service
	ctx      context.Context
	accounts []*service
	images   []loadImage
	base     string             // a snapshot that is read
	want     map[int64][32]byte // its blocks

	imported, reads, writes, retries atomic.Int64
	most                             usage // that was seen; belongs to watch until that has ended
}

// loadImage is an image in the bucket.
type loadImage struct {
	key, format string
}

// usage is what a process has.
type usage struct {
	goroutines, files int64
	heap, rss         int64 // bytes
	collected         int64 // when garbage was collected last, in seconds
}

// newLoad starts a service with accounts that have images, and does each thing once.
func newLoad(t *testing.T) *load {
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	makeRaw(t, raw, 6<<20+4096, 300<<10, 2<<20)
	s := start(t, filepath.Join(dir, "data"), "--quota-imports", "1000")
	l := &load{service: s, ctx: t.Context(), want: digests(t, raw)}
	for i := range loadAccounts {
		a := s
		if i > 0 {
			_, a = s.neighbour(t)
		}
		a.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
		a.connect()
		l.countRetries(a)
		l.accounts = append(l.accounts, a)
		if err := errors.Join(a.EnsureRole(t.Context(), "vmimport"), a.EnsureBucket(t.Context(), l.bucket(i))); err != nil {
			t.Fatal(err)
		}
	}
	l.images = []loadImage{{"disk.raw", "RAW"}, {"disk.qcow2", ""}, {"stream.vmdk", "VMDK"}, {"dynamic.vhd", "VHD"}}
	convert(t, raw, "disk.qcow2", "-O qcow2 -c")
	convert(t, raw, "stream.vmdk", "-O vmdk -o subformat=streamOptimized")
	convert(t, raw, "dynamic.vhd", "-O vpc")
	for i, a := range l.accounts {
		for _, image := range l.images {
			f := open(t, filepath.Join(dir, image.key))
			if err := a.Upload(t.Context(), l.bucket(i), image.key, f, fileSize(t, f), func(int64) {}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range l.images { // with all that they have of the service open
		if err := l.importOne(i, i%loadAccounts, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	snapshots, err := s.Snapshots(t.Context())
	if err != nil || len(snapshots) == 0 {
		t.Fatalf("%d snapshots, %v", len(snapshots), err)
	}
	l.base = snapshots[0].ID
	if err := errors.Join(l.read(), l.write()); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *load) bucket(account int) string { return fmt.Sprintf("images-%d", account) }

// countRetries counts how often the SDK sends a request again.
func (l *load) countRetries(a *service) {
	counted := func() aws.Retryer { return &countingRetryer{retry.NewStandard(), &l.retries} }
	a.EC2 = ec2.New(a.EC2.Options(), func(o *ec2.Options) { o.Retryer = counted() })
	a.EBS = ebs.New(a.EBS.Options(), func(o *ebs.Options) { o.Retryer = counted() })
}

// countingRetryer is the SDK's own retryer with a count.
type countingRetryer struct {
	aws.RetryerV2
	n *atomic.Int64
}

func (r *countingRetryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	r.n.Add(1)
	return r.RetryerV2.RetryDelay(attempt, err)
}

// digests returns the digests of the blocks of a disk that are not zero.
func digests(t *testing.T, path string) map[int64][32]byte {
	t.Helper()
	f, sums := open(t, path), map[int64][32]byte{}
	buf, zero := make([]byte, blockBytes), make([]byte, blockBytes)
	for i := range (fileSize(t, f) + blockBytes - 1) / blockBytes {
		clear(buf)
		if _, err := f.ReadAt(buf, i*blockBytes); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if !bytes.Equal(buf, zero) {
			sums[i] = sha256.Sum256(buf)
		}
	}
	return sums
}

// importOne imports an image and compares the snapshot with it. asked is called when the
// service has taken the import.
func (l *load) importOne(i, account int, asked func()) error {
	a, image := l.accounts[account], l.images[i%len(l.images)]
	in := &ec2.ImportSnapshotInput{DiskContainer: &types.SnapshotDiskContainer{Url: aws.String("s3://" + l.bucket(account) + "/" + image.key)}}
	if image.format != "" {
		in.DiskContainer.Format = &image.format
	}
	out, err := a.EC2.ImportSnapshot(l.ctx, in)
	asked()
	if err != nil {
		return fmt.Errorf("import %d of %s: %w", i, image.key, err)
	}
	task, err := a.Watch(l.ctx, aws.ToString(out.ImportTaskId), func(client.Task) {})
	if err != nil || task.Status != "completed" {
		return fmt.Errorf("import %d of %s: %s, %+v, %w", i, image.key, task.Status, task.Failure, err)
	}
	l.imported.Add(1)
	return l.same(a, task.SnapshotID, l.want)
}

// importAll asks for all imports at once, and then for one of an account that has none. It
// returns how many of the others ended while that one waited; that it is few is proved in
// worktest.
func (l *load) importAll(n int) (others int64, err error) {
	var all errgroup.Group
	var asked sync.WaitGroup
	for i := range n - 1 {
		asked.Add(1)
		all.Go(func() error { return l.importOne(i, i%(loadAccounts-1), asked.Done) })
	}
	asked.Wait()
	before := l.imported.Load()
	err = l.importOne(n, loadAccounts-1, func() {})
	others = l.imported.Load() - before - 1
	return others, errors.Join(err, all.Wait())
}

// same compares all blocks of a snapshot with what they must be, one after the other, so
// that no client needs more of the service's memory than there is for all.
func (l *load) same(a *service, snapshot string, want map[int64][32]byte) error {
	left := len(want)
	pages := ebs.NewListSnapshotBlocksPaginator(a.EBS, &ebs.ListSnapshotBlocksInput{SnapshotId: &snapshot})
	for pages.HasMorePages() {
		page, err := pages.NextPage(l.ctx)
		if err != nil {
			return fmt.Errorf("listing the blocks of %s: %w", snapshot, err)
		}
		for _, b := range page.Blocks {
			got, err := a.EBS.GetSnapshotBlock(l.ctx, &ebs.GetSnapshotBlockInput{SnapshotId: &snapshot, BlockIndex: b.BlockIndex, BlockToken: b.BlockToken})
			if err != nil {
				return fmt.Errorf("reading block %d of %s: %w", *b.BlockIndex, snapshot, err)
			}
			data, err := io.ReadAll(got.BlockData)
			if sum, ok := want[int64(*b.BlockIndex)]; err != nil || !ok || sum != sha256.Sum256(data) {
				return fmt.Errorf("block %d of %s is not that of the disk; %w", *b.BlockIndex, snapshot, err)
			}
			_ = got.BlockData.Close()
			left--
		}
	}
	if left != 0 {
		return fmt.Errorf("%s lacks %d blocks", snapshot, left)
	}
	return nil
}

func (l *load) read() error {
	defer l.reads.Add(1)
	return l.same(l.service, l.base, l.want)
}

// write writes a snapshot through EBS direct, completes it and reads it back.
func (l *load) write() error {
	n := l.writes.Add(1)
	a := l.accounts[n%int64(len(l.accounts))]
	started, err := a.EBS.StartSnapshot(l.ctx, &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
	if err != nil {
		return fmt.Errorf("StartSnapshot: %w", err)
	}
	noise, all, want := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}), sha256.New(), map[int64][32]byte{}
	const blocks = 3
	for i := range int32(blocks) {
		p := make([]byte, blockBytes)
		_, _ = noise.Read(p[:4096])
		sum := sha256.Sum256(p)
		if _, err := a.EBS.PutSnapshotBlock(l.ctx, &ebs.PutSnapshotBlockInput{
			SnapshotId: started.SnapshotId, BlockIndex: aws.Int32(i * 100), BlockData: bytes.NewReader(p), DataLength: aws.Int32(blockBytes),
			Checksum: aws.String(base64.StdEncoding.EncodeToString(sum[:])), ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256,
		}); err != nil {
			return fmt.Errorf("PutSnapshotBlock: %w", err)
		}
		want[int64(i)*100] = sum
		all.Write(sum[:])
	}
	if _, err := a.EBS.CompleteSnapshot(l.ctx, &ebs.CompleteSnapshotInput{
		SnapshotId: started.SnapshotId, ChangedBlocksCount: aws.Int32(blocks), Checksum: aws.String(base64.StdEncoding.EncodeToString(all.Sum(nil))),
		ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256, ChecksumAggregationMethod: ebstypes.ChecksumAggregationMethodChecksumAggregationLinear,
	}); err != nil {
		return fmt.Errorf("CompleteSnapshot: %w", err)
	}
	waiter := ec2.NewSnapshotCompletedWaiter(a.EC2, quickly)
	if err := waiter.Wait(l.ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*started.SnapshotId}}, patience); err != nil {
		return fmt.Errorf("waiting for %s: %w", *started.SnapshotId, err)
	}
	return l.same(a, *started.SnapshotId, want)
}

// watch asks for the health of the service, and for what it takes, until the function that
// it returns is called; that returns what was not healthy.
func (l *load) watch() (end func() error) {
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		pace := time.NewTicker(100 * time.Millisecond)
		defer pace.Stop()
		for {
			err := l.healthy(*loadSettle)
			now, missing := l.usage()
			l.most = usage{max(l.most.goroutines, now.goroutines), max(l.most.files, now.files), max(l.most.heap, now.heap), max(l.most.rss, now.rss), 0}
			if err = errors.Join(err, missing); err != nil {
				ended <- err
				return
			}
			select {
			case <-stop:
				ended <- nil
				return
			case <-pace.C:
			}
		}
	}()
	return func() error {
		close(stop)
		return <-ended
	}
}

// healthy asks for the pages that say how the service is. That the database answers within
// two seconds is asked only on a machine that is known to be fast enough.
func (s *service) healthy(fast bool) error {
	for _, page := range []string{"live", "health", "ready"} {
		resp, err := s.http.Get(s.endpoint + "/-/" + page)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		late := page == "ready" && !fast && resp.StatusCode == http.StatusServiceUnavailable
		if err != nil || resp.StatusCode != http.StatusOK && !late {
			return fmt.Errorf("/-/%s: %s %s, %w", page, resp.Status, text, err)
		}
	}
	return nil
}

// usage returns what the service has now.
func (s *service) usage() (u usage, err error) {
	resp, err := s.http.Get(s.endpoint + "/-/metrics")
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return u, err
	}
	for name, to := range map[string]*int64{
		"go_goroutines": &u.goroutines, "process_open_fds": &u.files, "go_memstats_heap_alloc_bytes": &u.heap,
		"process_resident_memory_bytes": &u.rss, "go_memstats_last_gc_time_seconds": &u.collected,
	} {
		_, rest, ok := strings.Cut(string(text), "\n"+name+" ")
		var v float64
		if _, err := fmt.Sscan(rest, &v); err != nil || !ok {
			return u, fmt.Errorf("there is no metric %s: %s", name, resp.Status)
		}
		*to = int64(v)
	}
	return u, nil
}

// highest returns the most memory that the service had, as the kernel counts it.
func (l *load) highest(t *testing.T) (bytes int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(rest, &bytes); err != nil {
				t.Fatal(err)
			}
		}
	}
	return bytes << 10
}

// settled waits until the service has as many goroutines and files as before the load, but
// those that it keeps for the next.
func (l *load) settled(t *testing.T, before usage) {
	t.Helper()
	// The files that were read last stay open, and connections of the databases.
	const kept = 2*64 + 8
	for _, a := range l.accounts {
		a.http.CloseIdleConnections()
	}
	now := func() usage {
		u, err := l.usage()
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	u := now()
	for deadline := time.Now().Add(patience); u.goroutines > before.goroutines+10 || u.files > before.files+kept; u = now() {
		if time.Now().After(deadline) {
			t.Fatalf("there are %d goroutines and %d files, and were %d and %d before", u.goroutines, u.files, before.goroutines, before.files)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !*loadSettle {
		return
	}
	for range 3 { // buffers go with the third collection; the runtime collects every two minutes
		for last := u.collected; u.collected == last; u = now() {
			time.Sleep(time.Second)
		}
	}
	t.Logf("before the load: %+v; at most: %+v; after it: %+v", before, l.most, u)
	if u.heap > before.heap+loadKept || u.rss > before.rss+2*loadKept {
		t.Errorf("the heap has %d MiB, and had %d MiB before; the process %d and %d", u.heap>>20, before.heap>>20, u.rss>>20, before.rss>>20)
	}
}
