package awshttp

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/logkey"
)

// recorder notes the status and size of the answer. It lets http.ResponseController
// reach the writer below it.
type recorder struct {
	http.ResponseWriter
	status int   // 0 until the header is written
	bytes  int64 // of body
	abort  bool  // the answer was broken off
}

// Unwrap lets http.ResponseController flush and set deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if status >= 200 && r.status == 0 { // 1xx come before the answer
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// target is what a request asked for, copied before edges change the request.
type target struct{ method, path, query, remote string }

func newTarget(r *http.Request) target {
	return target{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery, remote: r.RemoteAddr}
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
	f.opts.Log.LogAttrs(ctx, level, "request",
		slog.String(logkey.Request, c.RequestID),
		slog.String("service", c.Service),
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
	)
}
