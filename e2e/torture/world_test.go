package torture

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
)

// world is what clients have asked for, and what they were answered.
type world struct {
	images []image
	kmsKey string // ARN
	ready  bool   // buckets, images and key are there
	fills  bool   // the disk is full now and then

	paused atomic.Bool // clients ask for nothing more

	aim atomic.Pointer[string] // the point that clients are to lead to; nil: the service's

	mu      sync.Mutex // guards what follows
	next    int        // makes names
	imports []*importing
	drafts  []*draft
	copies  []*copying
	snaps   map[string]*snap // by id; completed, as far as was seen
	objects map[string]*object
	broken  []string // what was wrong
	tally   tally

	clock   func() int64 // how far a recording is; nil: there is none
	moments []moment
}

// tally counts what clients asked for, and what was looked at and compared.
type tally struct {
	steps, settled, tasks, snapshots, blocks, objects, files int64
}

func (y *tally) add(o tally) {
	y.steps += o.steps
	y.settled += o.settled
	y.tasks += o.tasks
	y.snapshots += o.snapshots
	y.blocks += o.blocks
	y.objects += o.objects
	y.files += o.files
}

func (y tally) String() string {
	return fmt.Sprintf("clients did %d things; %d times all came to its end and was compared: %d tasks, %d snapshots with %d blocks, %d objects, %d files of the store",
		y.steps, y.settled, y.tasks, y.snapshots, y.blocks, y.objects, y.files)
}

// moment is what clients knew from a place in a recording on.
type moment struct {
	from  int64
	world *world
}

// unlock ends a change of the world.
func (w *world) unlock() {
	if w.clock != nil {
		w.moments = append(w.moments, moment{w.clock(), w.clone()})
	}
	w.mu.Unlock()
}

// clone returns a copy that changes of the world don't change.
func (w *world) clone() *world {
	c := &world{images: w.images, kmsKey: w.kmsKey, next: w.next, snaps: map[string]*snap{}, objects: map[string]*object{}, ready: w.ready}
	for _, i := range w.imports {
		c.imports = append(c.imports, new(*i))
	}
	for _, d := range w.drafts {
		d := *d
		d.blocks, d.acked, d.busy = maps.Clone(d.blocks), maps.Clone(d.acked), false
		c.drafts = append(c.drafts, &d)
	}
	for _, y := range w.copies {
		c.copies = append(c.copies, new(*y))
	}
	for id, s := range w.snaps {
		s := *s
		s.busy = false
		c.snaps[id] = &s
	}
	for key, o := range w.objects {
		c.objects[key] = &object{may: slices.Clone(o.may)}
	}
	return c
}

// importing is an ImportSnapshot or ImportImage that was asked for.
type importing struct {
	token   string // its client token
	image   image
	encrypt bool
	id      string // empty: it was not answered yet
	cancel  bool   // that was asked for
	ranges  int    // that were seen to be done
	ended   bool   // its snapshots are in the world
}

// draft is a StartSnapshot that was asked for, and what was written.
type draft struct {
	token    string
	parent   string // the snapshot that it begins as; may be empty
	base     content
	id       string // empty: not answered
	blocks   content
	acked    map[int64]bool // of blocks
	complete bool           // was asked for
	busy     bool
	ended    bool
}

// copying is a CopySnapshot that was asked for. It has no client token: its description
// tells it from others.
type copying struct {
	description string
	blocks      content
	id          string // empty: not answered
	ended       bool
}

// snap is a snapshot that a client saw completed.
type snap struct {
	id     string
	blocks content
	image  string // that was registered with it
	busy   bool   // a worker uses it
	delete bool   // was asked for, and not answered
}

// object is what a key of the bucket may hold: digests of bodies, "" for no object.
// Whatever is answered is the only possibility.
type object struct {
	busy bool
	may  []string
}

func newWorld(images []image) *world {
	w := &world{images: images, snaps: map[string]*snap{}, objects: map[string]*object{}}
	for i := range 8 {
		w.objects[fmt.Sprintf("key/%d", i)] = &object{may: []string{""}}
	}
	return w
}

// wrong notes what must not be.
func (w *world) wrong(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.broken) < 20 {
		w.broken = append(w.broken, fmt.Sprintf(format, a...))
	}
}

// name returns a name that was not used before.
func (w *world) name(kind string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return fmt.Sprintf("%s-%d-%d", kind, *seed, w.next)
}

// do runs fn while nobody else changes the world.
func (w *world) do(fn func()) {
	w.mu.Lock()
	defer w.unlock()
	fn()
}

// take returns a snapshot that nobody else uses, and reserves it; nil if there is none.
func (w *world) take(rng *rand.Rand, ok func(*snap) bool) (taken *snap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, s := range w.snaps { // in any order, but each as likely as the others
		if s.busy || s.delete || !ok(s) {
			continue
		}
		if n++; rng.IntN(n) == 0 {
			taken = s
		}
	}
	if taken != nil {
		taken.busy = true
	}
	return taken
}

func (w *world) release(s *snap) { w.do(func() { s.busy = false }) }

// body makes the body of an object.
func body(size int, rng *rand.Rand) (data []byte, digest string) {
	data = make([]byte, size)
	noise := rand.NewChaCha8([32]byte{byte(rng.Uint64()), byte(rng.Uint64()), byte(rng.Uint64()), byte(rng.Uint64())})
	_, _ = noise.Read(data)
	return data, digestOf(data)
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return fmt.Sprintf("%d bytes, %x", len(data), sum[:8])
}
