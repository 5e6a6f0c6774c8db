package faulttest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/importtask"
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
	{name: "an I/O error", op: scratchRead, err: errIO, times: 1},
	{name: "an early end", op: scratchRead, short: true, err: io.EOF, times: 1},
	{name: "I/O errors for ever", op: scratchRead, err: errIO, want: "internal"},

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
	{name: "throttled once", op: kmsOpen, err: errKMS, times: 1},
	{name: "an outage", op: kmsOpen, err: errKMS, last: outage},
	{name: "no answer ever", op: kmsOpen, err: errKMS, want: "kms-unavailable"},
	{name: "the key is disabled", op: kmsOpen, err: disabled, want: "key-disabled"},
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
	{name: "compressed import", image: packedImage, stages: []work.Kind{work.Plan, work.Unpack, work.Range}},
	{name: "import with slow tables", image: slowImage, stages: []work.Kind{work.Survey}},
	{name: "import of no disk", image: noImage, stages: []work.Kind{work.Cleanup}, end: "image-not-a-disk"},
	{name: "machine image", image: machine, stages: []work.Kind{splitting, work.Plan, work.Range, work.Publish, work.LetGo}},
	{name: "compressed machine image", image: ofMachine(packedImage), stages: []work.Kind{work.Unpack}},
	{name: "machine image with slow tables", image: ofMachine(slowImage), stages: []work.Kind{work.Survey}},
	{name: "machine image of no disk", image: ofMachine(noImage), stages: []work.Kind{work.Cleanup}, end: "image-not-a-disk"},
}

// slowImage is one whose first read takes longer than a plan may.
func slowImage() *image {
	i := rawImage()
	i.slow = 11 * time.Second
	return i
}

// Objects that are made once.
var (
	smallDisk = sync.OnceValue(func() []byte {
		disk := make([]byte, 5*block.Size)
		smallImage().fill(disk, 0)
		copy(disk[510:], "\x55\xAA") // a boot sector
		return disk
	})
	// otherDisk has no block in common with smallDisk but those that are empty.
	otherDisk = sync.OnceValue(func() []byte {
		disk := bytes.Clone(smallDisk())
		for i := range disk {
			disk[i] ^= disk[i] << 1
		}
		return disk
	})
	packed = sync.OnceValue(func() []byte {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
		if err == nil {
			_, err = w.Write(smallDisk())
		}
		if err := errors.Join(err, w.Close()); err != nil {
			panic(err) // memory takes everything
		}
		return b.Bytes()
	})
	ova = sync.OnceValue(func() []byte {
		return imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF("1.raw", "2.raw")},
			imagetest.Member{Name: "1.raw", Data: smallDisk()}, imagetest.Member{Name: "2.raw", Data: otherDisk()})
	})
)

// smallImage is one whose disks are to be small enough to be an object as a whole.
func smallImage() *image {
	i := rawImage()
	i.filled, i.holes = []int64{0, 1, 3}, []int64{2, 4}
	return i
}

// holding returns the image as an object with disks in it.
func (i *image) holding(object []byte, disks ...[]byte) *image {
	i.object, i.disks, i.pin.Size = object, disks, int64(len(object))
	return i
}

// packedImage is a compressed disk of one range.
func packedImage() *image { return smallImage().holding(packed(), smallDisk()) }

// ofMachine returns a maker of what is to become a machine image.
func ofMachine(make func() *image) func() *image {
	return func() *image {
		i := make()
		i.pin.ID = importtask.DiskID(imageID, importtask.Place{Container: 1, Disk: 1})
		return i
	}
}

// machine is an OVA of two disks.
func machine() *image {
	return ofMachine(func() *image { return smallImage().holding(ova(), smallDisk(), otherDisk()) })()
}

func noImage() *image {
	i := rawImage()
	i.object = []byte("%PDF-1.7\n")
	i.pin.Size = int64(len(i.object))
	return i
}

// TestEveryFaultAtEveryStage: an import of which an interface fails is completed and right,
// or ends for the reason that the contract has for it, and leaves nothing behind. Each fault
// happens at each stage that uses its interface. Of a database every commit of a stage fails once.
func TestEveryFaultAtEveryStage(t *testing.T) {
	imagetest.Volume(t)
	var count tally
	t.Run("all", func(t *testing.T) {
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) {
				s.everyFault(t, &count, faults)
			})
			t.Run(s.name+" from elsewhere", func(t *testing.T) {
				s.everyFault(t, &count, remoteFaults)
			})
		}
	})
	count.report(t, faults, remoteFaults)
	documented(t, count.table())
}

// documented checks that the documentation has the table.
func documented(t *testing.T, table string) {
	t.Helper()
	t.Log("\n" + table)
	doc, err := os.ReadFile("../../../../docs/faults.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), table) {
		t.Error("docs/faults.md has another table of what fails at which stage")
	}
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

// everyFault makes each of the faults happen at each stage of the scenario that uses its
// interface.
func (s scenario) everyFault(t *testing.T, count *tally, faults []fault) {
	var uses map[cell]int
	synctest.Test(t, func(t *testing.T) { uses = s.without(t, faults[0]) })
	if t.Failed() {
		return
	}
	for _, stage := range s.stages {
		for _, f := range faults {
			if uses[cell{stage, f.op}] == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/%s", stage, f.op, f.name), func(t *testing.T) {
				t.Parallel()
				count.ran(s.at(stage), f, s.everywhere(t, f, stage, uses[cell{stage, f.op}]))
			})
		}
	}
}

// everywhere makes the fault happen at each of the operations of a stage that it can happen to in
// turn, or once if these are alike, and returns how often it did.
func (s scenario) everywhere(t *testing.T, f fault, stage work.Kind, uses int) (cases int) {
	if f.op != dbCommit || f.err == nil || f.last != 0 {
		uses = 1
	}
	for f.skip = 0; f.skip < uses; f.skip++ {
		t.Run(strconv.Itoa(f.skip), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if s.suffers(t, f, stage) {
					cases++
				}
			})
		})
	}
	if cases == 0 {
		t.Error("it did not happen, although the stage uses that interface")
	}
	return cases
}

// tally counts cases. It may be used concurrently.
type tally struct {
	mu     sync.Mutex // guards what follows
	faults map[string]int
	cells  map[string]map[string]int // by stage and interface
}

// at names a stage of the scenario.
func (s scenario) at(stage work.Kind) string {
	return s.name + ": " + cmp.Or(string(stage), "between the steps")
}

// ran notes that a fault happened some times at a stage.
func (c *tally) ran(at string, f fault, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults == nil {
		c.faults, c.cells = map[string]int{}, map[string]map[string]int{}
	}
	c.faults[f.String()] += n
	if c.cells[at] == nil {
		c.cells[at] = map[string]int{}
	}
	if n > 0 {
		c.cells[at][f.op.of()]++
	}
}

// String names a fault and what it happens to.
func (f fault) String() string { return string(f.op) + ": " + f.name }

// of returns the interface of an operation.
func (o operation) of() string {
	name, _, _ := strings.Cut(string(o), ":")
	return name
}

// report fails if one of the faults happened nowhere.
func (c *tally) report(t *testing.T, lists ...[]fault) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	cases := 0
	for _, f := range slices.Concat(lists...) {
		if n := c.faults[f.String()]; n == 0 {
			t.Errorf("%s: it happens at no stage", f)
		} else {
			cases += n
		}
	}
	t.Logf("%d faults, %d cases", len(c.faults), cases)
}

// table says in Markdown how many faults of each interface happened at each stage.
func (c *tally) table() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	columns := []string{"source", "S3", "STS", "scratch", "store", "database", "KMS", "IAM"}
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat(" --- |", 1+len(columns)))
	cells := 0
	for _, s := range scenarios {
		for _, stage := range s.stages {
			at := s.at(stage)
			fmt.Fprintf(&b, "| %s |", at)
			for _, column := range columns {
				n := c.cells[at][column]
				if cells += n; n == 0 {
					b.WriteString(" |")
				} else {
					fmt.Fprintf(&b, " %d |", n)
				}
			}
			b.WriteString("\n")
		}
	}
	fmt.Fprintf(&b, "\n%d faults, which make %d cells.\n", len(c.faults), cells)
	return b.String()
}

// world is one whose source is where the fault can happen.
func (s scenario) world(t *testing.T, f fault) *world {
	i := s.image()
	if f.answer == nil {
		return newWorld(t, i)
	}
	if i.object == nil { // that of a large disk is not
		small := smallImage().holding(smallDisk(), smallDisk())
		small.slow, small.pin.ID = i.slow, i.pin.ID
		i = small
	}
	w := newWorld(t, i)
	w.elsewhere()
	return w
}

// without imports without a fault, and returns which interfaces each stage used how often.
func (s scenario) without(t *testing.T, like fault) map[cell]int {
	w := s.world(t, like)
	w.accept()
	o := w.run()
	uses := maps.Clone(w.seen)
	w.judge(o, s.end)
	return uses
}

// suffers reports whether the fault happened.
func (s scenario) suffers(t *testing.T, f fault, stage work.Kind) bool {
	w := s.world(t, f)
	w.accept()
	w.arm(&f, stage)
	task := w.run()
	fired, want := w.fired, f.want
	if s.end != "" || fired == 0 {
		want = s.end
	}
	w.judge(task, want)
	if f.answer != nil && f.last > 0 && fired > 0 && !said(w.causes, "of the source") {
		t.Errorf("while it was away the task said %q", w.causes)
	}
	return fired > 0
}
