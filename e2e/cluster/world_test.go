package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/diskport/diskport/internal/client"
)

const blockBytes = 512 << 10

// content is what is in a disk: the digests of the blocks that are not zero.
type content map[int64][sha256.Size]byte

// image is an image in the bucket.
type image struct {
	key, format string
	content     content
}

// importing, draft and copying are how snapshots come to be. What a token was answered with
// is an id, and always the same.
type importing struct {
	token, id string
	image     image
	from      int64 // when it was asked for first
	stopped   int64 // when a client first wanted to stop it; 0: none did
	ranges    int   // that were seen done
	ended     bool
}

type draft struct {
	token, id string
	parent    string  // empty: none
	content   content // of all of it
	own       content // that was written to it
	from      int64
	put       map[int64]bool // answered
	busy      bool           // a client is at it
	complete  bool           // a client wanted to complete it
	void      bool           // its parent was gone, so it never was
}

type copying struct {
	description, id string
	content         content
	from            int64
	attempts        int
}

// snap is a snapshot that somebody saw.
type snap struct {
	id        string
	content   content
	completed bool
	removed   bool // a client wanted to delete it
}

// list is an answer to DescribeSnapshots: of all snapshots.
type list struct {
	client   int
	from, to int64
	found    map[string]answer
}

// birth is when something came to be: between two times.
type birth struct{ from, to int64 }

// door is a way in: the front, or one of the nodes.
type door struct {
	ec2, guest   *ec2.Client
	ebs, visitor *ebs.Client
	own          *client.Client
}

// world is what clients asked of a cluster, and what they were told.
type world struct {
	cluster *Cluster
	began   time.Time
	doors   []door // the first is the front
	seed    uint64
	strict  bool // only the front is asked, and no call may fail
	guest   client.Account
	images  []image

	mu        sync.Mutex // guards what follows
	imports   []*importing
	drafts    []*draft
	copies    []*copying
	snaps     map[string]*snap
	of        map[string]string // snapshots by their descriptions
	history   []porcupine.Operation
	tasks     []porcupine.Operation
	lists     []list
	taskLists []list
	broken    []string
	calls     int            // that were answered
	failed    map[string]int // by how
	births    map[string]birth
	hot       *snap         // that a client changed last
	progress  chan struct{} // closed and replaced with each call that is answered
}

func (w *world) now() int64 { return int64(time.Since(w.began)) }

func (w *world) do(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
}

// wrong notes a complaint.
func (w *world) wrong(format string, args ...any) {
	w.do(func() {
		w.broken = append(w.broken, fmt.Sprintf("after %.3f s: "+format, append([]any{time.Since(w.began).Seconds()}, args...)...))
	})
}

// newWorld makes images and clients for a cluster.
func newWorld(t *testing.T, c *Cluster, seed uint64) *world {
	t.Helper()
	w := &world{
		cluster: c, seed: seed, began: time.Now(), snaps: map[string]*snap{}, of: map[string]string{}, failed: map[string]int{}, births: map[string]birth{}, progress: make(chan struct{}),
		images: makeImages(t, c),
	}
	own := w.client(c.Front.Endpoint())
	if err := own.EnsureRole(t.Context(), "vmimport"); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.guest, err = own.AddAccount(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range append([]string{c.Front.Endpoint()}, c.endpoints()...) {
		w.doors = append(w.doors, w.door(endpoint))
	}
	return w
}

func (w *world) client(endpoint string) *client.Client {
	return client.New(client.Config{Endpoint: endpoint, Region: Region, Credentials: provider(w.cluster.Root), HTTP: &http.Client{Transport: counting{}}})
}

func provider(k Key) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(k.ID, k.Secret, "")
}

// door makes the clients of an endpoint, which try again as the SDK does.
func (w *world) door(endpoint string) door {
	of := func(k Key) aws.Config {
		return aws.Config{Region: Region, BaseEndpoint: &endpoint, Credentials: provider(k), HTTPClient: &http.Client{Transport: counting{}}}
	}
	own, guest := of(w.cluster.Root), of(Key{w.guest.AccessKeyID, w.guest.SecretAccessKey})
	return door{ec2.NewFromConfig(own), ec2.NewFromConfig(guest), ebs.NewFromConfig(own), ebs.NewFromConfig(guest), w.client(endpoint)}
}

// attempts counts what was sent for a call.
type attempts struct {
	mu         sync.Mutex // guards what follows
	sent, lost int        // lost: not answered, or with an error of the service
}

type attemptsKey struct{}

// counting counts the attempts of a call.
type counting struct{}

// RoundTrip implements http.RoundTripper.
func (counting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if a, ok := r.Context().Value(attemptsKey{}).(*attempts); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.sent++
		if err != nil || resp.StatusCode >= http.StatusInternalServerError {
			a.lost++
		}
	}
	return resp, err
}

// call is a call that was made.
type call struct {
	from, to   int64
	sent, lost int // attempts, and those that may have done something, or will, without an answer
	err        error
}

// unanswered reports whether the call as a whole was not answered.
func (c call) unanswered() bool { return c.err != nil && codeOf(c.err) == "" }

// caller is one client.
type caller struct {
	*world
	id  int
	ctx context.Context
	rng *rand.Rand

	only int // the door to go through; 0: any
}

// through chooses a way in.
func (c caller) through() door {
	if c.only > 0 {
		return c.doors[c.only]
	}
	if c.strict || c.rng.IntN(2) == 0 {
		return c.doors[0]
	}
	return c.doors[1+c.rng.IntN(len(c.doors)-1)]
}

// ask makes a call. A call that fails by what the service or the way to it lacks is counted.
func (c caller) ask(what string, fn func(context.Context, door) error) call {
	var a attempts
	y := call{from: c.now()}
	y.err = fn(context.WithValue(c.ctx, attemptsKey{}, &a), c.through())
	y.to, y.sent, y.lost = c.now(), a.sent, a.lost
	if c.ctx.Err() != nil {
		return y
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !y.unanswered() {
		c.calls++
		close(c.progress)
		c.progress = make(chan struct{})
		return y
	}
	c.failed[kindOf(y.err)]++
	if c.strict || strings.Contains(y.err.Error(), "damaged") {
		c.broken = append(c.broken, fmt.Sprintf("after %.3f s: %s failed: %v", time.Since(c.began).Seconds(), what, y.err))
	}
	return y
}

// codeOf returns the code with which the service refused a call; empty if it did not, but
// failed, or could not be reached.
func codeOf(err error) string {
	var own *client.Error
	var api smithy.APIError
	var status interface{ HTTPStatusCode() int }
	switch {
	case errors.As(err, &own):
		if own.Status < http.StatusInternalServerError {
			return own.Code
		}
	case errors.As(err, &api):
		if errors.As(err, &status) && status.HTTPStatusCode() < http.StatusInternalServerError {
			return api.ErrorCode()
		}
	}
	return ""
}

// kindOf says in few words how a call failed.
func kindOf(err error) string {
	var own *client.Error
	var api smithy.APIError
	var answered *smithyhttp.ResponseError
	switch {
	case errors.As(err, &own):
		return fmt.Sprintf("%d %s", own.Status, own.Code)
	case errors.As(err, &answered) && errors.As(err, &api):
		return fmt.Sprintf("%d %s", answered.HTTPStatusCode(), api.ErrorCode())
	case errors.As(err, &answered) && answered.HTTPStatusCode() > 0:
		return fmt.Sprintf("%d", answered.HTTPStatusCode())
	}
	return "no answer"
}

// note adds a call about a snapshot to the history. A change that may have happened
// without an answer may also happen later.
func (c caller) note(y call, id string, v verb, out answer) { c.add(&c.history, y, id, v, out) }

// noteTask adds a call about a task.
func (c caller) noteTask(y call, id string, v verb, out answer) { c.add(&c.tasks, y, id, v, out) }

func (c caller) add(to *[]porcupine.Operation, y call, id string, v verb, out answer) {
	changes := v == remove || v == stop || v == share || v == unshare
	op := porcupine.Operation{ClientId: c.id, Input: asked{id, v}, Call: y.from, Return: y.to, Output: out}
	c.mu.Lock()
	defer c.mu.Unlock()
	if out != unknown {
		*to = append(*to, op)
	}
	if changes && (out == unknown || y.lost > 0) {
		op.Output, op.Return = unknown, never
		*to = append(*to, op)
	}
}

// made notes that something that was asked for at a time is known to be there at another.
func (w *world) made(id string, from, to int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, known := w.births[id]
	if !known {
		b = birth{from, to}
	}
	w.births[id] = birth{min(b.from, from), min(b.to, to)}
}

// see notes that a snapshot exists, with what must be in it.
func (w *world) see(id string, c content) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.snaps[id] == nil {
		w.snaps[id] = &snap{id: id, content: c}
	}
}

// some returns a value of a list that is wanted; the zero value if there is none.
func some[T any](c caller, list []T, wanted func(T) bool) (found T) {
	n := 0
	for _, x := range list {
		if wanted(x) {
			if n++; c.rng.IntN(n) == 0 {
				found = x
			}
		}
	}
	return found
}

// snapshot returns some snapshot; often the one that was changed last, of which a node may not know.
func (c caller) snapshot(wanted func(*snap) bool) *snap {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hot != nil && wanted(c.hot) && c.rng.IntN(2) == 0 {
		return c.hot
	}
	ids := slices.Sorted(maps.Keys(c.snaps))
	all := make([]*snap, len(ids))
	for i, id := range ids {
		all[i] = c.snaps[id]
	}
	return some(c, all, wanted)
}

// blockOf is block n of those that all disks are made of.
func blockOf(n int64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "block %07d of the disk\n.", n), blockBytes/24+1)[:blockBytes]
}

// makeImages stores images in the bucket: small raw disks that have blocks in common, and one of
// several ranges.
func makeImages(t *testing.T, c *Cluster) (images []image) {
	t.Helper()
	for n := range int64(4) {
		disk := map[int64]int64{}
		for at := range 3 + n {
			disk[at] = at * (n + 1) % 9
		}
		images = append(images, makeImage(t, c, fmt.Sprintf("disk%d.raw", n), "RAW", (4+n)*blockBytes, disk))
	}
	ranges := map[int64]int64{}
	for at := range int64(4) {
		ranges[at*pageBlocks], ranges[at*pageBlocks+1] = at, 20+at
	}
	return append(images, makeImage(t, c, "ranges.qcow2", "", 4*pageBlocks*blockBytes, ranges))
}

// pageBlocks is how many blocks a page of a manifest is about; ranges are whole pages.
const pageBlocks = 1024

// makeImage stores an image of size bytes, with blocks by their index.
func makeImage(t *testing.T, c *Cluster, key, format string, size int64, blocks map[int64]int64) image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	have := content{}
	err = f.Truncate(size)
	for at, n := range blocks {
		data := blockOf(n)
		have[at] = sha256.Sum256(data)
		_, werr := f.WriteAt(data, at*blockBytes)
		err = errors.Join(err, werr)
	}
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(key, ".qcow2") {
		to := path + ".qcow2"
		if out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "qcow2", path, to).CombinedOutput(); err != nil {
			t.Fatalf("qemu-img: %v\n%s", err, out)
		}
		path = to
	}
	upload(t, c, key, path)
	return image{key, format, have}
}

func upload(t *testing.T, c *Cluster, key, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := c.Storage().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(Images), Key: &key, Body: io.Reader(f)}); err != nil {
		t.Fatal(err)
	}
}
