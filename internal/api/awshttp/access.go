package awshttp

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/logkey"
)

// recorder notes the status and size of the answer. It keeps the header back until
// there is something to send, so that an answer for which there is no memory can still
// be a refusal. It lets http.ResponseController reach the writer below it.
type recorder struct {
	http.ResponseWriter
	call   *Call
	status int   // 0 until the edge has given it
	begun  bool  // the header is on its way
	bytes  int64 // of body
	abort  bool  // the answer was broken off
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// FlushError is for http.ResponseController.
func (r *recorder) FlushError() error {
	r.begin()
	return http.NewResponseController(r.ResponseWriter).Flush()
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	switch {
	case status < 200:
		r.ResponseWriter.WriteHeader(status) // comes before the answer
	case r.status == 0:
		r.status = status
	}
}

// begin sends the header.
func (r *recorder) begin() {
	if r.status == 0 {
		r.status = http.StatusOK // as net/http has it
	}
	if !r.begun {
		r.begun = true
		r.ResponseWriter.WriteHeader(r.status)
	}
}

// largeWrite is what an answer, or a piece of it, may have in memory without a
// reservation: more than io.Copy's buffer.
const largeWrite = 64 << 10

// Write implements io.Writer. If there is no memory for p while the client reads it,
// the answer is a refusal, or is broken off if it has begun.
func (r *recorder) Write(p []byte) (int, error) {
	if len(p) > largeWrite {
		if err := r.call.exchange.Charge(int64(len(p))); err != nil {
			return 0, r.give(err)
		}
	}
	r.begin()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom lets net/http send a file without reading it.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.begin()
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}

// give answers with a refusal instead of what the edge wanted to send.
func (r *recorder) give(err error) error {
	if r.begun {
		r.abort, r.call.code = true, "Aborted"
		return err
	}
	r.status = 0
	h := r.Header()
	for name := range h {
		if !frontHeaders[name] {
			h.Del(name)
		}
	}
	r.call.Fail(r, busy.fault(r.call.Service))
	return err
}

// frontHeaders are those that the front chain has set itself.
var frontHeaders = map[string]bool{"X-Amzn-Requestid": true, "X-Amz-Request-Id": true, "Connection": true}

// target is what a request asked for, copied before edges change the request.
type target struct{ method, path, query, remote, operation string }

func newTarget(r *http.Request) target {
	return target{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, remote: r.RemoteAddr, operation: r.Header.Get("X-Amz-Target")}
}

// secretQuery lists, in lower case, query parameters that are credentials or grant
// something. Those that begin with "x-amz-" are hidden without being listed.
var secretQuery = map[string]bool{
	"awsaccesskeyid": true, "signature": true, "blocktoken": true, "pagetoken": true, "nexttoken": true,
}

// loggedQuery returns a query without secrets. Parameters of the query protocols
// may hold anything, such as a presigned Url, so none of them are shown.
func loggedQuery(service, query string) string {
	if query == "" || service != S3 && service != EBS {
		return ""
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	for name := range values {
		lower := strings.ToLower(name)
		if secretQuery[lower] || strings.HasPrefix(lower, "x-amz-") {
			delete(values, name)
		}
	}
	return values.Encode()
}

func (f *Front) logAccess(ctx context.Context, c *Call, rec *recorder, t target, took time.Duration) {
	level := slog.LevelInfo
	if c.Service == page {
		level = slog.LevelDebug // probes and scrapes come every few seconds
	}
	attrs := []slog.Attr{
		slog.String(logkey.Request, c.RequestID),
		slog.String("service", c.Service),
		slog.String("region", c.Region),
		slog.String("action", c.Action),
		slog.String("method", t.method),
		slog.String("path", t.path),
		slog.String("query", loggedQuery(c.Service, t.query)),
		slog.Int("status", rec.status),
		slog.String("code", c.code),
		slog.Int64("bytes", rec.bytes),
		slog.Duration("took", took),
		slog.String("principal", c.Principal.ARN),
		slog.String("remote", t.remote),
	}
	if asked := unknownAction(c, t); asked != "" {
		attrs = append(attrs, slog.String("asked", asked))
	}
	f.opts.Log.LogAttrs(ctx, level, "request", attrs...)
}

// unknownAction is what a request calls its action if the edge did not find it in its table,
// so that operators see what their clients miss. It is a client's word, so it is cut.
func unknownAction(c *Call, t target) string {
	if c.Action != "" {
		return ""
	}
	const most = 64
	name := cmp.Or(c.Form.Get("Action"), t.operation)
	if len(name) > most {
		name = name[:most]
	}
	return strings.ToValidUTF8(name, "?")
}
