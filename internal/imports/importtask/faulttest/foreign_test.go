package faulttest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/imports/source/sourcetest"
)

const (
	s3Answer  operation = "S3: answer"
	stsAnswer operation = "STS: answer"
)

// answer is what a server does with a request instead of serving it.
type answer func(w http.ResponseWriter, r *http.Request, f *foreign)

// remoteFaults are what an S3 and an STS elsewhere do.
var remoteFaults = []fault{
	{name: "status 500 once", op: s3Answer, times: 1, answer: status(500, "")},
	{name: "status 503 for 20 minutes", op: s3Answer, last: outage, answer: status(503, "SlowDown")},
	{name: "status 503 for ever", op: s3Answer, want: "source-unavailable", answer: status(503, "SlowDown")},
	{name: "too many requests", op: s3Answer, times: 3, answer: status(429, "")},
	{name: "a request that timed out there", op: s3Answer, times: 1, answer: status(408, "RequestTimeout")},
	{name: "connections that break before the answer", op: s3Answer, times: 3, answer: abort},
	{name: "connections that break for 20 minutes", op: s3Answer, last: outage, answer: abort},
	{name: "bodies that break off", op: s3Answer, times: 3, answer: cut},
	{name: "no answer for an hour", op: s3Answer, times: 1, answer: silence},
	{name: "a body that falls silent", op: s3Answer, times: 1, answer: stall},
	{name: "a body that trickles", op: s3Answer, times: 1, answer: trickle},
	{name: "another range", op: s3Answer, want: "source-forbidden", answer: shifted},
	{name: "no ranges", op: s3Answer, want: "source-forbidden", answer: whole},
	{name: "another ETag", op: s3Answer, want: "source-changed", answer: replaced},
	{name: "the precondition fails", op: s3Answer, want: "source-changed", answer: status(412, "PreconditionFailed")},
	{name: "the object is gone", op: s3Answer, want: "source-missing", answer: status(404, "NoSuchKey")},
	{name: "access denied", op: s3Answer, want: "source-forbidden", answer: status(403, "AccessDenied")},
	{name: "a redirect", op: s3Answer, want: "source-forbidden", answer: status(307, "")},
	{name: "expired credentials", op: s3Answer, times: 1, answer: status(400, "ExpiredToken")},
	{name: "unavailable for 20 minutes", op: stsAnswer, last: outage, answer: status(503, "ServiceUnavailable")},
	{name: "unreachable once", op: stsAnswer, times: 1, answer: abort},
	{name: "the role denied", op: stsAnswer, want: "role-not-assumable", answer: status(403, "AccessDenied")},
}

func status(code int, name string) answer {
	return func(w http.ResponseWriter, _ *http.Request, _ *foreign) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", name)
	}
}

func abort(http.ResponseWriter, *http.Request, *foreign) { panic(http.ErrAbortHandler) }

func silence(_ http.ResponseWriter, r *http.Request, _ *foreign) {
	select {
	case <-r.Context().Done():
	case <-time.After(time.Hour):
	}
	panic(http.ErrAbortHandler)
}

// part answers with the first half of the range, and flushes it.
func part(w http.ResponseWriter, r *http.Request, f *foreign) {
	p := f.header(w, r)
	_, _ = w.Write(p[:len(p)/2])
	_ = http.NewResponseController(w).Flush()
}

func cut(w http.ResponseWriter, r *http.Request, f *foreign) {
	part(w, r, f)
	panic(http.ErrAbortHandler)
}

func stall(w http.ResponseWriter, r *http.Request, f *foreign) {
	part(w, r, f)
	silence(w, r, f)
}

// trickle goes on with a byte every 20 s, for ever.
func trickle(w http.ResponseWriter, r *http.Request, f *foreign) {
	p := f.header(w, r)
	for i := 0; i < len(p) && r.Context().Err() == nil; i++ {
		_, _ = w.Write(p[i : i+1])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
	}
	panic(http.ErrAbortHandler)
}

func shifted(w http.ResponseWriter, r *http.Request, f *foreign) {
	r.Header.Set("Range", "bytes=1-10")
	_, _ = w.Write(f.header(w, r))
}

func whole(w http.ResponseWriter, _ *http.Request, f *foreign) {
	w.Header().Set("ETag", etag)
	_, _ = w.Write(f.object)
}

func replaced(w http.ResponseWriter, r *http.Request, f *foreign) {
	g := *f
	g.etag = `"other"`
	_, _ = w.Write(g.header(w, r))
}

const etag = `"the one that was pinned"`

// foreign is an S3 and an STS elsewhere, over connections that work with synctest.
type foreign struct {
	w      *world
	object []byte
	etag   string
}

// header answers with the header of a range, and returns the body.
func (f *foreign) header(w http.ResponseWriter, r *http.Request) []byte {
	from, to, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
	first, _ := strconv.Atoi(from)
	last, _ := strconv.Atoi(to)
	last = min(last, len(f.object)-1)
	w.Header().Set("ETag", f.etag)
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, len(f.object)))
	w.Header().Set("Content-Length", strconv.Itoa(last-first+1))
	w.WriteHeader(http.StatusPartialContent)
	return f.object[first : last+1]
}

func (f *foreign) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := s3Answer
	if r.Method == http.MethodPost {
		op = stsAnswer
	}
	fault := f.w.meet(op)
	if op == s3Answer {
		time.Sleep(f.w.source.slowly())
	}
	switch {
	case fault != nil:
		fault.answer(w, r, f)
	case op == stsAnswer:
		w.Header().Set("Content-Type", "text/xml")
		_, _ = fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLEKEY</AccessKeyId><SecretAccessKey>x</SecretAccessKey>
			<SessionToken>token</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	default:
		_, _ = w.Write(f.header(w, r))
	}
}

// elsewhere makes the source of the world an object of an S3 elsewhere.
func (w *world) elsewhere() {
	f := &foreign{w: w, etag: etag, object: w.source.object}
	p := sourcetest.NewNetwork()
	server := &http.Server{Handler: f}
	served := make(chan error, 1)
	go func() { served <- server.Serve(p) }()
	at, err := source.ParseEndpoint("http://192.0.2.1:9000")
	w.check(err)
	master, err := secret.NewMasterKey(make([]byte, secret.KeySize))
	w.check(err)
	opener := &source.Opener{Region: region, Foreign: source.NewForeignS3(source.ForeignOptions{
		Endpoint: at, Region: region, Credentials: credentials.NewStaticCredentialsProvider("KEY", "secret", ""), Secrets: master, Dial: p.Dial,
	})}
	w.source.pin = source.Pin{
		Kind: source.Foreign, ID: w.source.pin.ID, Bucket: "images", Key: "disk", ETag: etag, Size: int64(len(f.object)), Account: account, Role: "vmimport", Region: region,
	}
	w.Images.Sources = opener
	w.t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			w.t.Error(err)
		}
	})
}

// said reports whether one of the texts has a part.
func said(texts []string, part string) bool {
	for _, s := range texts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
