package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// still is a service whose lanes do not run: what it does is what the test asks for, so
// that it can be counted.
type still struct {
	*App
	t       testing.TB
	files   *countedFiles
	sources *countedSource
}

// countedSource counts what an S3 of the test's own is asked for.
type countedSource struct{ requests, bytes atomic.Int64 }

// serve answers with some bytes.
func (c *countedSource) serve(w http.ResponseWriter, r *http.Request, content []byte) {
	c.requests.Add(1)
	http.ServeContent(countedBody{w, c}, r, "", time.Unix(1e9, 0), bytes.NewReader(content))
}

type countedBody struct {
	http.ResponseWriter
	of *countedSource
}

func (b countedBody) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p)
	b.of.bytes.Add(int64(n))
	return n, err
}

// countedFiles counts what is written to the store.
type countedFiles struct {
	blockstore.Backend
	closed, written atomic.Int64
}

func (c *countedFiles) Create(ctx context.Context, name string, size int64) (blockstore.Writer, error) {
	w, err := c.Backend.Create(ctx, name, size)
	return countedFile{w, c}, err
}

type countedFile struct {
	blockstore.Writer
	of *countedFiles
}

func (f countedFile) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	for _, b := range bufs {
		f.of.written.Add(int64(len(b)))
	}
	return f.Writer.WriteAt(ctx, bufs, off)
}

func (f countedFile) Close(ctx context.Context, size int64) error {
	f.of.closed.Add(1)
	return f.Writer.Close(ctx, size)
}

func openStill(t testing.TB, cfg Config) *still {
	t.Helper()
	a, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	a.parts.runner.Store = unrenewed{a.parts.runner.Store}
	files := &countedFiles{Backend: a.parts.library.Store.Backend}
	a.parts.library.Store.Backend = files
	return &still{App: a, t: t, files: files, sources: new(countedSource)}
}

// unrenewed has the database not be told that a unit is still being done: how often it would be
// depends on how fast the machine is.
type unrenewed struct{ work.Store }

func (unrenewed) Renew(_ context.Context, l work.Lease, now time.Time, _ work.Progress) (work.Lease, error) {
	l.Until = now.Add(work.LeaseFor)
	return l, nil
}

// call sends a request and returns the answer, which must be a success.
func (s *still) call(k key, service, method, path, body string, header http.Header) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, "http://"+s.Addr()+path, strings.NewReader(body))
	for name, values := range header {
		r.Header[name] = values
	}
	sign(s.t, r, k, service, body)
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, r)
	if w.Code >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w
}

// query calls a Query API and returns the answer.
func (s *still) query(k key, service, version, action string, parameters ...string) string {
	s.t.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	return s.call(k, service, "POST", "/", form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}).Body.String()
}

// work does all units that are due.
func (s *still) work() {
	s.t.Helper()
	for did := true; did; {
		did = false
		for _, kinds := range lanes {
			one, err := s.parts.runner.Step(s.t.Context(), kinds...)
			if err != nil {
				s.t.Fatal(err)
			}
			did = did || one
		}
	}
}

// effort is what something takes. None of it depends on how fast the machine is.
type effort struct {
	metadb.Load
	Files, Written int64 // files of the store that were made durable, and the bytes of them
	Requests, Read int64 // of a source that is an S3, and the bytes that came
	Allocations    int64
}

// now returns all that the service has done.
func (s *still) now() effort {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return effort{
		Load: s.parts.db.Load(), Files: s.files.closed.Load(), Written: s.files.written.Load(),
		Requests: s.sources.requests.Load(), Read: s.sources.bytes.Load(), Allocations: int64(m.Mallocs),
	}
}

// less returns e without o, times n.
func (e effort) less(o effort, n float64) effort {
	minus := func(a, b int64) int64 { return int64(n * float64(a-b)) }
	return effort{
		Load:  metadb.Load{Statements: minus(e.Statements, o.Statements), Transactions: minus(e.Transactions, o.Transactions)},
		Files: minus(e.Files, o.Files), Written: minus(e.Written, o.Written),
		Requests: minus(e.Requests, o.Requests), Read: minus(e.Read, o.Read), Allocations: minus(e.Allocations, o.Allocations),
	}
}

// effort returns what fn takes.
func (s *still) effort(fn func()) effort {
	before := s.now()
	fn()
	return s.now().less(before, 1)
}

// count returns what fn asks of the database.
func (s *still) count(fn func()) metadb.Load { return s.effort(fn).Load }

const (
	ec2Version = "2016-11-15"
	iamVersion = "2010-05-08"
)

// delivery makes an image available to a service and returns the parameters that name it.
type delivery func(s *still, image []byte) []string

// handedOver is for the service of the same process.
func handedOver(s *still, image []byte) []string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	from, err := s.Handover(f, "disk.raw")
	if err != nil {
		s.t.Fatal(err)
	}
	return []string{"DiskContainer.Url", from}
}

// imports puts a disk of random bytes through the API and returns the snapshot.
func (s *still) imports(root key, from delivery, bytes int, seed byte) (snapshot string) {
	s.t.Helper()
	image := make([]byte, bytes)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(image) // never fails
	task := s.query(root, "ec2", ec2Version, "ImportSnapshot", append(from(s, image), "DiskContainer.Format", "RAW", "RoleName", "importer")...)
	s.work()
	ended := s.query(root, "ec2", ec2Version, "DescribeImportSnapshotTasks", "ImportTaskId.1", between(s.t, task, "importTaskId"))
	return between(s.t, ended, "snapshotId")
}

// most is the most that something may ask of the database: statements and transactions. A change
// that makes it fewer lowers the number here; one that makes it more has a reason.
type most struct {
	what      string
	one, many metadb.Load // of one node on SQLite; of one of many on PostgreSQL
	got       metadb.Load
}

// TestLoadOnTheDatabase: what each thing that a service does many times asks of the database.
// With many nodes it is the one thing that they share. SQLite's transactions that change
// something have two statements more, which count them.
func TestLoadOnTheDatabase(t *testing.T) {
	t.Run("one", func(t *testing.T) {
		cfg := config(filepath.Join(t.TempDir(), "data"))
		loadOnTheDatabase(t, cfg, handedOver, func(m most) metadb.Load { return m.one })
	})
	t.Run("many", func(t *testing.T) {
		var image []byte
		var etag string
		source := new(countedSource)
		s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", etag)
			source.serve(w, r, image)
		}))
		t.Cleanup(s3.Close)
		cfg := cluster(t)(func(c *Config) { c.SourceEndpoint, c.SourceSTS = s3.URL, noSTS })
		loadOnTheDatabase(t, cfg, func(s *still, i []byte) []string {
			s.sources = source
			image, etag = i, fmt.Sprintf(`"%x"`, sha256.Sum256(i))
			return []string{"DiskContainer.UserBucket.S3Bucket", "images", "DiskContainer.UserBucket.S3Key", "disk.raw"}
		}, func(m most) metadb.Load { return m.many })
	})
}

func loadOnTheDatabase(t *testing.T, cfg Config, from delivery, limit func(most) metadb.Load) {
	cfg.RequestRate = -1
	s := openStill(t, cfg)
	id, secret := s.Credentials()
	root := key{id, secret}
	s.query(root, "iam", iamVersion, "CreateRole", "RoleName", "importer", "AssumeRolePolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"vmie.amazonaws.com"},"Action":"sts:AssumeRole"}}`)
	s.query(root, "iam", iamVersion, "PutRolePolicy", "RoleName", "importer", "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}`)
	s.query(root, "iam", iamVersion, "CreateUser", "UserName", "ann")
	s.query(root, "iam", iamVersion, "PutUserPolicy", "UserName", "ann", "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ebs:*","ec2:*"],"Resource":"*"}}`)
	made := s.query(root, "iam", iamVersion, "CreateAccessKey", "UserName", "ann")
	ann := key{between(t, made, "AccessKeyId"), between(t, made, "SecretAccessKey")}

	s.work() // duties
	s.imports(root, from, 1<<20, 0)
	small := s.effort(func() { s.imports(root, from, 1<<20, 1) })
	const blocks = 64
	var snapshot string
	large := s.effort(func() { snapshot = s.imports(root, from, blocks<<19, 2) })
	perGiB := large.less(small, 2048./(blocks-2))
	importEffort(t, small, perGiB)

	list := s.call(ann, "ebs", "GET", "/snapshots/"+snapshot+"/blocks", "", nil)
	var page struct{ Blocks []struct{ BlockToken string } }
	if err := json.Unmarshal(list.Body.Bytes(), &page); err != nil || len(page.Blocks) != blocks {
		t.Fatalf("%d blocks, %v", len(page.Blocks), err)
	}
	get := func(k key, n int) func() {
		return func() {
			s.call(k, "ebs", "GET", fmt.Sprintf("/snapshots/%s/blocks/%d?blockToken=%s", snapshot, n, url.QueryEscape(page.Blocks[n].BlockToken)), "", nil)
		}
	}
	get(ann, 0)()
	get(root, 1)()

	started := s.call(ann, "ebs", "POST", "/snapshots", `{"VolumeSize":1}`, nil)
	var draft struct{ SnapshotId string }
	if err := json.Unmarshal(started.Body.Bytes(), &draft); err != nil {
		t.Fatal(err)
	}
	put := func(index int) func() {
		block := make([]byte, block.Size)
		_, _ = rand.NewChaCha8([32]byte{byte(index), 9}).Read(block) // never fails
		sum := sha256.Sum256(block)
		header := http.Header{
			"X-Amz-Data-Length": {fmt.Sprint(len(block))}, "X-Amz-Checksum": {base64.StdEncoding.EncodeToString(sum[:])},
			"X-Amz-Checksum-Algorithm": {"SHA256"},
		}
		return func() {
			s.call(ann, "ebs", "PUT", fmt.Sprintf("/snapshots/%s/blocks/%d", draft.SnapshotId, index), string(block), header)
		}
	}
	put(0)()
	idle := s.count(func() {
		for _, kinds := range lanes {
			if _, err := s.parts.runner.Step(t.Context(), kinds...); err != nil {
				t.Fatal(err)
			}
		}
	})
	agenda := s.count(func() {
		if _, err := s.parts.db.Work().Next(t.Context(), time.Now(), work.Range); err != nil {
			t.Fatal(err)
		}
	})
	polls, looks := int64(time.Minute/poll), int64(time.Minute/work.LeaseFor)
	for _, m := range []most{
		{"an import of 1 MiB, from the call to the answer that it is completed", metadb.Load{Statements: 155, Transactions: 20}, metadb.Load{Statements: 136, Transactions: 22}, small.Load},
		{"each GiB of an import", metadb.Load{Statements: 396}, metadb.Load{Statements: 396}, perGiB.Load},
		{"GetSnapshotBlock by a user", metadb.Load{Statements: 2}, metadb.Load{Statements: 2}, s.count(get(ann, 2))},
		{"GetSnapshotBlock by root", metadb.Load{Statements: 2}, metadb.Load{Statements: 2}, s.count(get(root, 3))},
		{"PutSnapshotBlock by a user", metadb.Load{Statements: 24, Transactions: 4}, metadb.Load{Statements: 18, Transactions: 4}, s.count(put(1))},
		{"ListSnapshotBlocks", metadb.Load{Statements: 2}, metadb.Load{Statements: 2}, s.count(func() { s.call(ann, "ebs", "GET", "/snapshots/"+snapshot+"/blocks", "", nil) })},
		{"DescribeSnapshots of one", metadb.Load{Statements: 5, Transactions: 2}, metadb.Load{Statements: 5, Transactions: 2}, s.count(func() { s.query(ann, "ec2", ec2Version, "DescribeSnapshots", "SnapshotId.1", snapshot) })},
		{"DescribeImportSnapshotTasks", metadb.Load{Statements: 5, Transactions: 1}, metadb.Load{Statements: 5, Transactions: 1}, s.count(func() { s.query(ann, "ec2", ec2Version, "DescribeImportSnapshotTasks") })},
		{"a minute of an idle node", metadb.Load{Statements: 42}, metadb.Load{Statements: 42}, metadb.Load{
			Statements: idle.Statements*polls + agenda.Statements*looks, Transactions: idle.Transactions*polls + agenda.Transactions*looks,
		}},
	} {
		t.Logf("%-70s %5d statements, %4d transactions, %5d round trips", m.what, m.got.Statements, m.got.Transactions, m.got.RoundTrips())
		if at := limit(m); m.got.Statements > at.Statements || m.got.Transactions > at.Transactions {
			t.Errorf("%s: %+v, at most %+v", m.what, m.got, at)
		}
	}
}

// importEffort: what an import takes besides what it asks of the database. A change that makes
// it less lowers the number here; one that makes it more has a reason. A file that is made
// durable costs an fsync of its own and one of its folder, a transaction of SQLite another one.
func importEffort(t *testing.T, small, perGiB effort) {
	for _, m := range []struct {
		what      string
		most, got int64
	}{
		{"files of the store that an import of 1 MiB makes durable", 3, small.Files}, // a pack, pages, a root
		{"bytes that an import of 1 MiB writes to the store", 1_073_152, small.Written},
		{"bytes that each GiB writes to the store", 2048 * frame.Size, perGiB.Written},
		{"requests to the source for an import of 1 MiB", 7, small.Requests},
		{"requests to the source for each GiB", 256, perGiB.Requests},
		{"bytes read from the source for each GiB", 1 << 30, perGiB.Read},
	} {
		t.Logf("%-70s %11d", m.what, m.got)
		if m.got > m.most {
			t.Errorf("%s: %d, at most %d", m.what, m.got, m.most)
		}
	}
	// They are 37; but what a pool keeps depends on the garbage collector and on the race
	// detector, and a source that is an S3 of the test's own allocates here too.
	const most = 150
	got := perGiB.Allocations / 2048
	t.Logf("%-70s %11d", "allocations for each block", got)
	if perGiB.Requests == 0 && got > most {
		t.Errorf("%d allocations for each block, at most %d", got, most)
	}
}

func between(t testing.TB, text, element string) string {
	t.Helper()
	m := regexp.MustCompile("<" + element + ">([^<]*)<").FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in %s", element, text)
	}
	return m[1]
}
