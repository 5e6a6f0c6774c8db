package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// fake answers requests from a table of handlers by method and path.
func fake(t *testing.T, handlers map[string]http.HandlerFunc) *Client {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range handlers {
		mux.HandleFunc(pattern, h)
	}
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return New(Config{
		Endpoint:    srv.URL,
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
	})
}

// snapshotOf serves blocks of a snapshot over EBS direct; lie damages a block on
// its way, but not its checksum.
func snapshotOf(blocks map[int64][]byte, lie int64) map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /snapshots/{id}/blocks": func(w http.ResponseWriter, _ *http.Request) {
			var list []map[string]any
			for i := range int64(1000) {
				if blocks[i] != nil {
					list = append(list, map[string]any{"BlockIndex": i, "BlockToken": "token"})
				}
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"Blocks": list, "BlockSize": BlockSize, "VolumeSize": 1})
		},
		"GET /snapshots/{id}/blocks/{index}": func(w http.ResponseWriter, r *http.Request) {
			index, _ := strconv.ParseInt(r.PathValue("index"), 10, 64)
			data := bytes.Clone(blocks[index])
			sum := sha256.Sum256(data)
			w.Header().Set("x-amz-Checksum", base64.StdEncoding.EncodeToString(sum[:]))
			w.Header().Set("x-amz-Checksum-Algorithm", "SHA256")
			w.Header().Set("x-amz-Data-Length", strconv.Itoa(len(data)))
			if index == lie {
				data[len(data)-1] ^= 1
			}
			_, _ = w.Write(data)
		},
	}
}

// record is one record of a stream of data.
func record(kind string, off int64, data []byte) []byte {
	r := make([]byte, 20, 20+len(data))
	copy(r, kind)
	binary.LittleEndian.PutUint32(r[4:], uint32(len(data)))
	binary.LittleEndian.PutUint64(r[8:], uint64(off))
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(r[16:], crc32.Update(crc32.Checksum(r[:16], table), table, data))
	return append(r, data...)
}

// dataOf serves what a snapshot holds, each block in two records. spoil changes the
// stream of the n-th request; nil: nothing.
func dataOf(blocks map[int64][]byte, spoil func(n int, stream []byte) []byte) map[string]http.HandlerFunc {
	requests := 0
	return map[string]http.HandlerFunc{"GET /-/v1/snapshots/snap-1/data": func(w http.ResponseWriter, r *http.Request) {
		requests++
		from, _ := strconv.ParseInt(r.FormValue("from"), 10, 64)
		var stream []byte
		for i := from / BlockSize; i < 2048; i++ {
			if b := blocks[i]; b != nil {
				stream = append(stream, record("data", i*BlockSize, b[:4096])...)
				stream = append(stream, record("data", i*BlockSize+8192, b[8192:])...)
			}
		}
		stream = append(stream, record("end ", 1<<30, nil)...)
		if spoil != nil {
			stream = spoil(requests, stream)
		}
		_, _ = w.Write(stream)
	}}
}

// disk is a disk of some more than 10½ blocks, of which some hold data.
func disk() (blocks map[int64][]byte, whole []byte, s Snapshot) {
	const size = 10*BlockSize + BlockSize/2 + 100
	whole, blocks = make([]byte, size), map[int64][]byte{}
	for _, i := range []int64{0, 3, 4, 10} {
		blocks[i] = bytes.Repeat([]byte{byte(i + 1)}, BlockSize)
		clear(blocks[i][4096:8192])
		copy(whole[i*BlockSize:], blocks[i])
	}
	return blocks, whole, Snapshot{ID: "snap-1", VirtualBytes: size, VolumeSize: 1, DataBytes: 4 * BlockSize, Blocks: 4}
}

func ignore(int64, int64) {}

func TestExport(t *testing.T) {
	blocks, whole, s := disk()
	c := fake(t, dataOf(blocks, nil))
	path := filepath.Join(t.TempDir(), "disk.raw")
	var done int64
	if err := c.Export(t.Context(), s, path, func(d, _ int64) { done = d }); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, whole) {
		t.Errorf("the file has %d bytes (%v) that differ from the disk's %d", len(got), err, len(whole))
	}
	if done != s.DataBytes {
		t.Errorf("progress ended at %d, want %d", done, s.DataBytes)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may open the exported disk: %v, %v", info.Mode(), err)
	}
	var out bytes.Buffer
	if err := c.ExportStream(t.Context(), s, &out, ignore); err != nil || !bytes.Equal(out.Bytes(), whole) {
		t.Errorf("the stream has %d bytes (%v) that differ from the disk's %d", out.Len(), err, len(whole))
	}
	if err := c.Export(t.Context(), s, path, ignore); err == nil {
		t.Error("Export over a file that exists succeeded")
	}
}

// cut cuts all but the first n records off a stream.
func cut(stream []byte, n int) []byte {
	at := 0
	for range n {
		at += 20 + int(binary.LittleEndian.Uint32(stream[at+4:]))
	}
	return stream[:at]
}

// TestExportGoesOn: what breaks on the way is asked for again, from where it broke.
func TestExportGoesOn(t *testing.T) {
	blocks, whole, s := disk()
	for name, spoil := range map[string]func(n int, stream []byte) []byte{
		"nothing at first": func(n int, stream []byte) []byte { return cut(stream, (n-1)*3) },
		"record by record": func(n int, stream []byte) []byte { return cut(stream, 3) },
		"within a record":  func(n int, stream []byte) []byte { return stream[:len(stream)/2] },
		"damaged":          func(n int, stream []byte) []byte { stream[len(cut(stream, 3))+20] ^= 1; return stream },
		"garbage":          func(n int, stream []byte) []byte { return bytes.Repeat([]byte{0xff}, 20) },
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			c := fake(t, dataOf(blocks, func(n int, stream []byte) []byte {
				if tries = n; n < 3 {
					stream = spoil(n, stream)
				}
				return stream
			}))
			c.retry = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Microsecond })
			var out bytes.Buffer
			err := c.ExportStream(t.Context(), s, &out, ignore)
			if err != nil || !bytes.Equal(out.Bytes(), whole) || tries != 3 {
				t.Errorf("after %d requests: %v; %d bytes of %d", tries, err, out.Len(), len(whole))
			}
		})
	}
}

// TestEachBlock reads through EBS direct, whose checksums are checked.
func TestEachBlock(t *testing.T) {
	blocks, _, _ := disk()
	for _, lie := range []int64{-1, 4} {
		var read atomic.Int64
		err := fake(t, snapshotOf(blocks, lie)).EachBlock(t.Context(), "snap-1", func(index int64, data []byte) error {
			if !bytes.Equal(data, blocks[index]) {
				t.Errorf("block %d is another", index)
			}
			read.Add(1)
			return nil
		})
		if lie < 0 && (err != nil || read.Load() != 4) {
			t.Errorf("%d blocks, %v", read.Load(), err)
		}
		if lie >= 0 && (err == nil || !strings.Contains(err.Error(), "block 4")) {
			t.Errorf("got %v, want an error that names block 4", err)
		}
	}
}

// TestAnExportWaits while the service has no memory for it, and not when it is refused.
func TestAnExportWaits(t *testing.T) {
	blocks, _, s := disk()
	for status, want := range map[int]int{http.StatusServiceUnavailable: 10, http.StatusBadGateway: 3, http.StatusForbidden: 1} {
		handlers, tries := dataOf(blocks, nil), 0
		for path, answer := range handlers {
			handlers[path] = func(w http.ResponseWriter, r *http.Request) {
				if tries++; tries < 10 {
					w.WriteHeader(status)
					return
				}
				answer(w, r)
			}
		}
		c := fake(t, handlers)
		c.retry = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Microsecond })
		if err := c.ExportStream(t.Context(), s, io.Discard, ignore); tries != want || (err == nil) != (want == 10) {
			t.Errorf("answered %d: %d attempts, %v", status, tries, err)
		}
	}
}

func TestAnExportThatFails(t *testing.T) {
	blocks, _, s := disk()
	fail := func(n int, stream []byte) []byte {
		return append(cut(stream, 4), record("fail", 0, []byte("snap-1, block 4: it is rotten"))...)
	}
	for name, tt := range map[string]struct {
		spoil func(n int, stream []byte) []byte
		want  string
	}{
		"a damaged block": {fail, "block 4"},
		"always cut off":  {func(n int, stream []byte) []byte { return nil }, "stopped answering before the end"},
		"always damaged":  {func(n int, stream []byte) []byte { stream[16] ^= 1; return stream }, "damaged on the way"},
		"from the future": {func(n int, stream []byte) []byte { return record("zstd", 0, nil) }, `"zstd", which this program does not know`},
		"too long":        {func(n int, stream []byte) []byte { return record("data", 0, make([]byte, BlockSize+1)) }, "damaged on the way"},
		"beyond the volume": {func(n int, stream []byte) []byte {
			return append(record("data", 1<<30-4096, make([]byte, 8192)), stream...)
		}, "does not fit"},
		"far beyond it": {func(n int, stream []byte) []byte {
			return append(record("data", math.MaxInt64-4095, make([]byte, 8192)), stream...)
		}, "does not fit"},
		"below zero": {func(n int, stream []byte) []byte { return append(record("data", -4096, make([]byte, 4096)), stream...) }, "does not fit"},
		"descending": {func(n int, stream []byte) []byte {
			return append(record("data", 9*BlockSize, make([]byte, 4096)), stream...)
		}, "does not fit"},
		"twice": {func(n int, stream []byte) []byte { return append(cut(stream, 1), stream...) }, "does not fit"},
		"nothing in it": {func(n int, stream []byte) []byte {
			return append(record("data", 5*BlockSize, nil), stream...)
		}, "does not fit"},
		"the end of another": {func(n int, stream []byte) []byte { return record("end ", 2<<30, nil) }, "does not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			c := fake(t, dataOf(blocks, tt.spoil))
			c.retry = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Microsecond })
			path := filepath.Join(t.TempDir(), "disk.raw")
			err := c.Export(t.Context(), s, path, ignore)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Export = %v, want an error with %q", err, tt.want)
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("the file is still there: %v", err)
			}
			if err := c.ExportStream(t.Context(), s, io.Discard, ignore); err == nil {
				t.Error("ExportStream succeeded")
			}
		})
	}
}

func TestRequestsAreSignedForTheService(t *testing.T) {
	var auth string
	c := fake(t, map[string]http.HandlerFunc{"GET /-/v1/tasks": func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		_, _ = fmt.Fprint(w, `{"tasks":[{"id":"import-snap-1","progress":{"blocks":{"data":2}}}]}`)
	}})
	tasks, err := c.Tasks(t.Context())
	if err != nil || len(tasks) != 1 || tasks[0].Progress.Blocks.Data != 2 {
		t.Errorf("Tasks = %+v, %v", tasks, err)
	}
	if !strings.Contains(auth, "/us-east-1/diskport/aws4_request") {
		t.Errorf("signed as %q, want the scope of service diskport", auth)
	}
}

func TestListsAreReadPageByPage(t *testing.T) {
	pages := func(list string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch after := r.URL.Query().Get("after"); after {
			case "":
				_, _ = fmt.Fprintf(w, `{%q:[{"id":"a"},{"id":"b"}],"next":"7_b"}`, list)
			case "7_b":
				_, _ = fmt.Fprintf(w, `{%q:[{"id":"c"}]}`, list)
			default:
				t.Errorf("asked for what comes after %q", after)
			}
		}
	}
	c := fake(t, map[string]http.HandlerFunc{"GET /-/v1/tasks": pages("tasks"), "GET /-/v1/snapshots": pages("snapshots")})
	tasks, err := c.Tasks(t.Context())
	if err != nil || len(tasks) != 3 || tasks[2].ID != "c" {
		t.Errorf("Tasks = %+v, %v", tasks, err)
	}
	snapshots, err := c.Snapshots(t.Context())
	if err != nil || len(snapshots) != 3 || snapshots[2].ID != "c" {
		t.Errorf("Snapshots = %+v, %v", snapshots, err)
	}
}

func TestWatchGoesOnAfterABrokenStream(t *testing.T) {
	calls := 0
	c := fake(t, map[string]http.HandlerFunc{"GET /-/v1/tasks/{id}/events": func(w http.ResponseWriter, _ *http.Request) {
		calls++
		status := "active"
		if calls == 2 {
			status = "completed"
		}
		_, _ = fmt.Fprintf(w, ":\n\nevent: task\ndata: {\"id\":\"import-snap-1\",\"status\":%q}\n\n", status)
	}})
	var seen []string
	task, err := c.Watch(t.Context(), "import-snap-1", func(t Task) { seen = append(seen, t.Status) })
	if err != nil || task.Status != "completed" || len(seen) != 2 {
		t.Errorf("Watch = %q, %v after %v", task.Status, err, seen)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := fake(t, map[string]http.HandlerFunc{"GET /-/v1/tasks/{id}/events": func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "event: task\ndata: {\"status\":\"active\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}})
	_, err := c.Watch(ctx, "import-snap-1", func(Task) { cancel() })
	if err == nil || ctx.Err() == nil {
		t.Errorf("Watch = %v, want the context's error", err)
	}
}

func TestVerify(t *testing.T) {
	answer := "event: progress\ndata: {\"done\":1,\"total\":2}\n\nevent: finding\ndata: {\"part\":\"data\",\"blockIndex\":1}\n\nevent: result\ndata: {\"ok\":false,\"blocks\":2,\"error\":\"block 1\"}\n\n"
	tests := map[string]struct {
		answer string
		want   Verified
		fails  bool
	}{
		"damaged":     {answer, Verified{SnapshotID: "snap-1", Blocks: 2, Error: "block 1"}, false},
		"locked":      {strings.Replace(answer, "\"blocks\"", "\"locked\":true,\"blocks\"", 1), Verified{SnapshotID: "snap-1", Blocks: 2, Error: "block 1", Locked: true}, false},
		"interrupted": {"event: progress\ndata: {\"done\":1,\"total\":2}\n\n", Verified{}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := fake(t, map[string]http.HandlerFunc{"POST /-/v1/snapshots/{id}/verify": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprint(w, tt.answer)
			}})
			var found []Finding
			got, err := c.Verify(t.Context(), "snap-1", Watching{Progress: ignore, Found: func(f Finding) { found = append(found, f) }})
			if !tt.fails && (len(found) != 1 || found[0].Part != "data" || *found[0].BlockIndex != 1) {
				t.Errorf("found %+v", found)
			}
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("Verify = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// TestVerifyWaits while the service has no memory for it.
func TestVerifyWaits(t *testing.T) {
	for status, want := range map[int]int{http.StatusServiceUnavailable: 4, http.StatusBadGateway: 1} {
		tries := 0
		c := fake(t, map[string]http.HandlerFunc{"POST /-/v1/snapshots/{id}/verify": func(w http.ResponseWriter, _ *http.Request) {
			if tries++; tries < 4 {
				w.WriteHeader(status)
				return
			}
			_, _ = fmt.Fprint(w, "event: result\ndata: {\"ok\":true,\"blocks\":2}\n\n")
		}})
		c.retry = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Microsecond })
		if got, err := c.Verify(t.Context(), "snap-1", Watching{}); tries != want || got.OK != (want == 4) || (err == nil) != got.OK {
			t.Errorf("answered %d: %d attempts, %+v, %v", status, tries, got, err)
		}
	}
}

func TestMeasure(t *testing.T) {
	const progress = "event: progress\ndata: {\"done\":1,\"total\":2}\n\n"
	tests := map[string]struct {
		answer         string
		want           Sizes
		fails, missing bool
	}{
		"measured": {
			progress + "event: result\ndata: {\"storedBytes\":3,\"sharedBytes\":2,\"uniqueBytes\":1,\"damaged\":[\"page 1\"]}\n\n",
			Sizes{StoredBytes: 3, SharedBytes: 2, UniqueBytes: 1, Damaged: []string{"page 1"}}, false, false,
		},
		"not measurable":    {"event: result\ndata: {\"error\":\"its root is gone\",\"code\":\"InternalError\"}\n\n", Sizes{}, true, false},
		"deleted meanwhile": {progress + "event: result\ndata: {\"error\":\"not found\",\"code\":\"NoSuchSnapshot\"}\n\n", Sizes{}, true, true},
		"interrupted":       {progress, Sizes{}, true, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := fake(t, map[string]http.HandlerFunc{"GET /-/v1/snapshots/snap-1/sizes": func(w http.ResponseWriter, _ *http.Request) {
				_, _ = fmt.Fprint(w, tt.answer)
			}})
			got, err := c.Measure(t.Context(), "snap-1", ignore)
			if !reflect.DeepEqual(got, tt.want) || (err != nil) != tt.fails || IsNotFound(err) != tt.missing {
				t.Errorf("Measure = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestIsNotFound(t *testing.T) {
	c := fake(t, map[string]http.HandlerFunc{
		"GET /-/v1/tasks/gone": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprint(w, `{"code":"NoSuchTask","message":"there is no such import task"}`)
		},
		"GET /-/v1/tasks/broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"POST /{$}": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `<Response><Errors><Error><Code>InvalidSnapshot.NotFound</Code><Message>The snapshot 'snap-1' does not exist.</Message></Error></Errors></Response>`)
		},
	})
	if _, err := c.Task(t.Context(), "gone"); !IsNotFound(err) {
		t.Errorf("a task that is gone: %v is not recognised", err)
	}
	if _, err := c.Task(t.Context(), "broken"); err == nil || IsNotFound(err) {
		t.Errorf("a broken service: %v is taken for not found", err)
	}
	err := c.Delete(t.Context(), "snap-1")
	if !IsNotFound(err) {
		t.Errorf("a snapshot that is gone: %v is not recognised", err)
	}
	if got, want := Explain(err), "The snapshot 'snap-1' does not exist. (InvalidSnapshot.NotFound)"; got != want {
		t.Errorf("Explain = %q, want %q", got, want)
	}
}

// TestErrorsAboutRegionsSayHowToGoOn: AWS's words are about the signature, which is not
// what a person can change.
func TestErrorsAboutRegionsSayHowToGoOn(t *testing.T) {
	const scope = "Credential should be scoped to a valid region."
	c := fake(t, map[string]http.HandlerFunc{
		"GET /-/v1/snapshots": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `{"__type":"InvalidSignatureException","message":"`+scope+`"}`)
		},
		"POST /{$}": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `<Response><Errors><Error><Code>AuthFailure</Code><Message>`+scope+`</Message></Error></Errors></Response>`)
		},
		"/{bucket}": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprint(w, `<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region "a" is wrong; expecting "b"</Message></Error>`)
		},
	})
	_, listed := c.Snapshots(t.Context())
	const hint = "\nThe service does not play the region that the command is about: choose another with --region or AWS_REGION."
	for _, tt := range []struct {
		err  error
		want string
	}{
		{listed, "listing snapshots: InvalidSignatureException: " + scope + hint},
		{c.Delete(t.Context(), "snap-1"), scope + " (AuthFailure)" + hint},
		{c.EnsureBucket(t.Context(), "images"), `The authorization header is malformed; the region "a" is wrong; expecting "b" (AuthorizationHeaderMalformed)` +
			"\nThe service keeps its buckets in its own region: import files there (--region), then copy the snapshots with aws ec2 copy-snapshot."},
	} {
		if got := Explain(tt.err); got != tt.want {
			t.Errorf("Explain = %q, want %q", got, tt.want)
		}
	}
}
