package blobs3_test

import (
	"crypto/md5" //nolint:gosec // S3's ETags are
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeS3 is as much of S3 as the package asks for, in memory, for what real servers can't be
// made to do: faults at every step. That real ones do the same, TestBackend shows.
type fakeS3 struct {
	mu      sync.Mutex // guards what follows
	objects map[string]fakeObject
	uploads map[string]fakeUpload // by id
	ids     int
	behind  map[string]fakeObject // what is listed; nil: what there is
}

type fakeObject struct {
	data []byte
	meta http.Header
	at   time.Time
}

type fakeUpload struct {
	key   string
	meta  http.Header
	parts map[string][]byte
}

func newFakeS3() *fakeS3 {
	return &fakeS3{objects: map[string]fakeObject{}, uploads: map[string]fakeUpload{}}
}

// operationOf names what a request asks for.
func operationOf(r *http.Request) string {
	q := r.URL.Query()
	switch id, uploads, object := q.Get("uploadId"), q.Has("uploads"), strings.Count(r.URL.Path, "/") > 1 && !strings.HasSuffix(r.URL.Path, "/"); {
	case r.Method == http.MethodPost && uploads:
		return "CreateMultipartUpload"
	case r.Method == http.MethodPost:
		return "CompleteMultipartUpload"
	case r.Method == http.MethodPut && id != "":
		return "UploadPart"
	case r.Method == http.MethodDelete && id != "":
		return "AbortMultipartUpload"
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		return "CopyObject"
	case r.Method == http.MethodPut:
		return "PutObject"
	case r.Method == http.MethodDelete:
		return "DeleteObject"
	case r.Method == http.MethodHead:
		return "HeadObject"
	case uploads:
		return "ListMultipartUploads"
	case object && !q.Has("list-type"):
		return "GetObject"
	}
	return "ListObjectsV2"
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>planted</Message></Error>", code)
}

func etagOf(data []byte) string {
	sum := md5.Sum(data) //nolint:gosec // as above
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func metaOf(h http.Header) http.Header {
	meta := http.Header{}
	for k, v := range h {
		if strings.HasPrefix(k, "X-Amz-Meta-") {
			meta[k] = v
		}
	}
	return meta
}

// ServeHTTP implements http.Handler.
func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != max(r.ContentLength, 0) {
		fail(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	answer := httptest.NewRecorder() // nothing is locked while a client reads it
	f.serve(answer, r, body)
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (f *fakeS3) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	_, there := f.objects[key]
	conditional := r.Header.Get("If-None-Match") == "*"
	switch operationOf(r) {
	case "PutObject":
		if there && conditional {
			fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		f.objects[key] = fakeObject{body, metaOf(r.Header), time.Now()}
		w.Header().Set("ETag", etagOf(body))
	case "CopyObject":
		_, from, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), "/"), "/")
		o, ok := f.objects[from]
		if !ok {
			fail(w, http.StatusNotFound, "NoSuchKey")
			return
		}
		f.objects[key] = fakeObject{o.data, o.meta, time.Now()}
		fmt.Fprintf(w, "<CopyObjectResult><ETag>%s</ETag></CopyObjectResult>", etagOf(o.data))
	case "DeleteObject":
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case "CreateMultipartUpload":
		f.ids++
		id := fmt.Sprintf("upload-%d", f.ids)
		f.uploads[id] = fakeUpload{key, metaOf(r.Header), map[string][]byte{}}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case "UploadPart", "AbortMultipartUpload", "CompleteMultipartUpload":
		f.upload(w, r, key, body, there && conditional)
	case "GetObject", "HeadObject":
		f.get(w, r, key)
	case "ListMultipartUploads":
		fmt.Fprint(w, "<ListMultipartUploadsResult>")
		for id, u := range f.uploads {
			if strings.HasPrefix(u.key, q.Get("prefix")) {
				fmt.Fprintf(w, "<Upload><Key>%s</Key><UploadId>%s</UploadId></Upload>", u.key, id)
			}
		}
		fmt.Fprint(w, "</ListMultipartUploadsResult>")
	case "ListObjectsV2":
		f.list(w, q.Get("prefix"), q.Get("continuation-token"))
	}
}

func (f *fakeS3) upload(w http.ResponseWriter, r *http.Request, key string, body []byte, refused bool) {
	id := r.URL.Query().Get("uploadId")
	u, ok := f.uploads[id]
	if !ok || u.key != key {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	switch operationOf(r) {
	case "UploadPart":
		u.parts[r.URL.Query().Get("partNumber")] = body
		w.Header().Set("ETag", etagOf(body))
	case "AbortMultipartUpload":
		delete(f.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case "CompleteMultipartUpload":
		if refused {
			fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
		var in struct {
			Part []struct{ PartNumber, ETag string }
		}
		if err := xml.Unmarshal(body, &in); err != nil || len(in.Part) == 0 {
			fail(w, http.StatusBadRequest, "MalformedXML")
			return
		}
		var data []byte
		for _, p := range in.Part {
			part, ok := u.parts[p.PartNumber]
			if !ok || etagOf(part) != p.ETag {
				fail(w, http.StatusBadRequest, "InvalidPart")
				return
			}
			data = append(data, part...)
		}
		delete(f.uploads, id)
		f.objects[key] = fakeObject{data, u.meta, time.Now()}
		fmt.Fprint(w, "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
	}
}

func (f *fakeS3) get(w http.ResponseWriter, r *http.Request, key string) {
	o, ok := f.objects[key]
	if !ok {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	maps.Copy(w.Header(), o.meta)
	w.Header().Set("ETag", etagOf(o.data))
	data, status := o.data, http.StatusOK
	var first, last int
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); n == 2 {
		if first >= len(data) {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		last = min(last, len(data)-1)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(data)))
		data, status = data[first:last+1], http.StatusPartialContent
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
}

// fallBehind has lists answer what there is now, whatever happens.
func (f *fakeS3) fallBehind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behind = maps.Clone(f.objects)
}

// list answers two objects a page.
func (f *fakeS3) list(w http.ResponseWriter, prefix, after string) {
	objects := f.objects
	if f.behind != nil {
		objects = f.behind
	}
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(objects)), func(k string) bool { return !strings.HasPrefix(k, prefix) || k <= after })
	fmt.Fprint(w, "<ListBucketResult>")
	if len(keys) > 2 {
		keys = keys[:2]
		fmt.Fprintf(w, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", keys[1])
	}
	for _, k := range keys {
		o := objects[k]
		fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>%d</Size><ETag>%s</ETag><LastModified>%s</LastModified></Contents>", k, len(o.data), etagOf(o.data), o.at.UTC().Format(time.RFC3339))
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

// left fails t if there is more than marks, the identity and what want names.
func (f *fakeS3) left(t *testing.T, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, o := range f.objects {
		if o.meta.Get("X-Amz-Meta-Diskport-Removed") == "" && k != "store/identity" && !slices.Contains(want, k) {
			t.Errorf("%s is left, of %d bytes", k, len(o.data))
		}
	}
	for id, u := range f.uploads {
		t.Errorf("%s of %s is left, with %d parts", id, u.key, len(u.parts))
	}
}
