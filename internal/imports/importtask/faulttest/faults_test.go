package faulttest

import (
	"bytes"
	"compress/gzip"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/work"
)

// What the interfaces say. The owner of a task must not be told any of it.
var (
	errIO    = fmt.Errorf("planted: %w", syscall.EIO)
	errFull  = fmt.Errorf("planted: %w: %w", blockstore.ErrFull, syscall.ENOSPC)
	errLost  = driver.ErrBadConn
	errDial  = &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5432}, Err: syscall.ECONNREFUSED}
	errS3    = &source.UnavailableError{What: "the S3 of the source answers with status 503", Err: errors.New("planted at 192.0.2.1")}
	errKMS   = fmt.Errorf("asking 192.0.2.1: %w: planted", keyring.ErrUnavailable)
	errStore = fmt.Errorf("asking 192.0.2.1: %w: planted", blockstore.ErrUnavailable)
	disabled = &keyring.Error{Key: keyARN, Reason: keyring.Disabled}
	denied   = &keyring.Error{Key: keyARN, Reason: keyring.Denied}
)

const outage = 20 * time.Minute

// faults are what happens to the interfaces. Each of them happens at every stage that uses
// the interface.
var faults = []fault{
	{name: "an I/O error", op: srcRead, err: errIO, times: 1},
	{name: "I/O errors for 20 s", op: srcRead, err: errIO, last: 20 * time.Second},
	{name: "I/O errors for ever", op: srcRead, err: errIO, want: "source-unreadable"},
	{name: "a short read without an error", op: srcRead, short: true, times: 1},
	{name: "short reads without an error", op: srcRead, short: true, want: "source-unreadable"},
	{name: "an early end", op: srcRead, short: true, err: io.EOF, times: 1},
	{name: "an early end for ever", op: srcRead, short: true, err: io.EOF, want: "source-unreadable"},
	{name: "an unexpected end", op: srcRead, short: true, err: io.ErrUnexpectedEOF, times: 1},
	{name: "a damaged piece", op: srcRead, err: fmt.Errorf("%w: %w", objects.ErrDamaged, io.EOF), want: "source-damaged"},
	{name: "another object by now", op: srcRead, err: source.ErrChanged, want: "source-changed"},
	{name: "access taken away", op: srcRead, err: source.ErrNoAccess, want: "source-forbidden"},
	{name: "a slow answer", op: srcRead, delay: 20 * time.Second, times: 1},
	{name: "answers that get slower and slower", op: srcRead, delay: 3 * time.Minute, last: time.Hour},
	{name: "an outage", op: srcRead, err: errS3, last: outage},
	{name: "no answer ever", op: srcRead, err: errS3, want: "source-unavailable"},
	{name: "a panic", op: srcRead, panic: true, want: "internal"},
	{name: "an I/O error", op: srcOpen, err: errIO, times: 1},
	{name: "an outage", op: srcOpen, err: errS3, last: outage},
	{name: "gone", op: srcOpen, err: source.ErrNotFound, want: "source-missing"},
	{name: "its key disabled", op: srcOpen, err: source.ErrKey, want: "source-key"},
	{name: "its role taken away", op: srcOpen, err: source.ErrRole, want: "role-not-assumable"},
	{name: "the program that handed it over ended", op: srcOpen, err: source.ErrOrphaned, want: "handover-gone"},
	{name: "changed", op: srcCheck, err: source.ErrChanged, want: "source-changed"},
	{name: "an I/O error", op: srcCheck, err: errIO, times: 1},

	{name: "an I/O error", op: scratchMake, err: errIO, times: 1},
	{name: "no room", op: scratchMake, err: &scratch.FullError{Dir: "/data/planted"}, want: "store-full"},
	{name: "an I/O error", op: scratchWrite, err: errIO, times: 1},
	{name: "a panic", op: scratchWrite, panic: true, want: "internal"},
	{name: "no room", op: scratchWrite, err: &scratch.FullError{Dir: "/data/planted"}, want: "store-full"},

	{name: "an I/O error", op: fileCreate, err: errIO, times: 1},
	{name: "no room for ten minutes", op: fileCreate, err: errFull, last: 10 * time.Minute},
	{name: "no room ever", op: fileCreate, err: errFull, want: "store-full"},
	{name: "an outage", op: fileCreate, err: errStore, last: outage},
	{name: "no answer ever", op: fileCreate, err: errStore, want: "store-unavailable"},
	{name: "an I/O error", op: fileWrite, err: errIO, times: 1},
	{name: "I/O errors for ever", op: fileWrite, err: errIO, want: "internal"},
	{name: "no room for ten minutes", op: fileWrite, err: errFull, last: 10 * time.Minute},
	{name: "slow", op: fileWrite, delay: time.Minute, times: 2},
	{name: "fsync fails", op: fileClose, err: errIO, times: 1},
	{name: "fsync fails for ever", op: fileClose, err: errIO, want: "internal"},
	{name: "fsync fails although the file is durable", op: fileClose, err: errIO, after: true, times: 1},
	{name: "no room for ten minutes", op: fileClose, err: errFull, last: 10 * time.Minute},
	{name: "an outage", op: fileClose, err: errStore, last: outage},
	{name: "its answer is lost", op: fileClose, err: errStore, after: true, times: 1},
	{name: "slow", op: fileClose, delay: time.Minute, times: 2},

	{name: "unreachable once", op: dbBegin, err: errDial, times: 1},
	{name: "an outage", op: dbBegin, err: errDial, last: outage},
	{name: "the connection is lost", op: dbStatement, err: errLost, times: 1},
	{name: "no room", op: dbStatement, err: syscall.ENOSPC, times: 1},
	{name: "the connection is lost before the commit", op: dbCommit, err: errLost, times: 1},
	{name: "the connection is lost after the commit", op: dbCommit, err: errLost, after: true, times: 1},
	{name: "an outage from a commit on", op: dbCommit, err: errLost, after: true, last: 2 * time.Minute},
	{name: "slow", op: dbCommit, delay: 15 * time.Second, times: 1},

	{name: "throttled once", op: kmsState, err: errKMS, times: 1},
	{name: "an outage", op: kmsState, err: errKMS, last: outage},
	{name: "no answer ever", op: kmsState, err: errKMS, want: "kms-unavailable"},
	{name: "the key is disabled", op: kmsState, err: disabled, want: "key-disabled"},
	{name: "throttled once", op: kmsMake, err: errKMS, times: 1},
	{name: "its answer is lost", op: kmsMake, err: errKMS, after: true, times: 1},
	{name: "the key is denied", op: kmsMake, err: denied, want: "key-access-denied"},
	{name: "an I/O error", op: roleAsked, err: errIO, times: 1},
}

// scenario is an import that goes through some stages.
type scenario struct {
	name   string
	image  func() *image
	stages []work.Kind
	end    string // what it ends with anyhow
}

var scenarios = []scenario{
	{name: "import", image: rawImage, stages: []work.Kind{"", work.Plan, work.Range, work.Publish}},
	{name: "compressed import", image: packedImage, stages: []work.Kind{work.Plan, work.Unpack}},
	{name: "import with slow tables", image: slowImage, stages: []work.Kind{work.Survey}},
	{name: "import of no disk", image: noImage, stages: []work.Kind{work.Cleanup}, end: "image-not-a-disk"},
}

// slowImage is one whose first read takes longer than a plan may.
func slowImage() *image {
	i := rawImage()
	i.slow = 11 * time.Second
	return i
}

// packedImage is a compressed disk of one range.
func packedImage() *image {
	i := rawImage()
	i.filled, i.holes = []int64{0, 1, 3}, []int64{2, 4}
	disk := make([]byte, 5*block.Size)
	i.fill(disk, 0)
	copy(disk[510:], "\x55\xAA") // a boot sector
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	if err == nil {
		_, err = w.Write(disk)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // memory takes everything
	}
	i.disk, i.object, i.pin.Size = disk, b.Bytes(), int64(b.Len())
	return i
}

func noImage() *image {
	i := rawImage()
	i.object = []byte("%PDF-1.7\n")
	i.pin.Size = int64(len(i.object))
	return i
}

// TestEveryFaultAtEveryStage: an import of which an interface fails is completed and right,
// or ends for the reason that the contract has for it, and leaves nothing behind. Of a
// database every commit of a stage fails once.
func TestEveryFaultAtEveryStage(t *testing.T) {
	imagetest.Volume(t)
	var count tally
	t.Run("all", func(t *testing.T) {
		for _, s := range scenarios {
			for _, stage := range s.stages {
				for _, f := range faults {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", s.name, stage, f.op, f.name), func(t *testing.T) {
						t.Parallel()
						count.ran(f, s.everywhere(t, f, stage))
					})
				}
			}
		}
	})
	count.report(t)
}

// TestSomeFaults is a small part of TestEveryFaultAtEveryStage, for the race detector.
func TestSomeFaults(t *testing.T) {
	for _, s := range scenarios {
		for _, stage := range s.stages {
			for _, f := range []fault{
				{name: "an I/O error", op: srcRead, err: errIO, times: 1},
				{name: "fsync fails", op: fileClose, err: errIO, times: 1},
				{name: "the connection is lost after the commit", op: dbCommit, err: errLost, after: true, times: 1},
			} {
				t.Run(fmt.Sprintf("%s/%s/%s", s.name, stage, f.op), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { s.suffers(t, f, stage) })
				})
			}
		}
	}
}

// everywhere makes the fault happen at each of the operations of a stage that it can happen to in
// turn, or once if these are alike, and returns how often it did.
func (s scenario) everywhere(t *testing.T, f fault, stage work.Kind) int {
	for f.skip = 0; ; f.skip++ {
		happened := false
		t.Run(strconv.Itoa(f.skip), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { happened = s.suffers(t, f, stage) })
		})
		each := f.op == dbCommit && f.last == 0
		switch {
		case !happened:
			return f.skip
		case !each:
			return 1
		}
	}
}

// tally counts cases. It may be used concurrently.
type tally struct {
	mu    sync.Mutex // guards cases
	cases map[string]int
}

func (c *tally) ran(f fault, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cases == nil {
		c.cases = map[string]int{}
	}
	c.cases[string(f.op)+": "+f.name] += n
}

// report fails if a fault happened nowhere.
func (c *tally) report(t *testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cases := 0
	for name, n := range c.cases {
		if cases += n; n == 0 {
			t.Errorf("%s: it happens at no stage", name)
		}
	}
	t.Logf("%d faults, %d cases", len(c.cases), cases)
}

// suffers reports whether the fault happened.
func (s scenario) suffers(t *testing.T, f fault, stage work.Kind) bool {
	w := newWorld(t, s.image())
	w.accept()
	w.arm(&f, stage)
	task := w.run()
	fired, want := w.fired, f.want
	if s.end != "" || fired == 0 {
		want = s.end
	}
	w.judge(task, want)
	return fired > 0
}
