package awshttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/audit"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/span"
)

// Options are the parts and settings of a Front. Keys, Log, Metrics and Regions are
// required.
type Options struct {
	Edges   map[string]Edge // by service name
	Keys    iam.AccessKeys
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Flow    *flow.Control    // nil means one with the default limits
	Now     func() time.Time // of signatures; nil means time.Now
	NewID   func() string    // of requests; nil means awsid.Request
	Audit   *audit.Log       // of calls that may change something; nil: none is recorded
	Tracer  *span.Tracer     // of requests to services; nil: none is traced

	// Regions are those that a credential scope may name. S3 compares the region with
	// the bucket's itself, and the global services ignore it.
	Regions awsid.Regions

	// AllowSigV2 takes Signature Version 2 for EC2 queries. S3 takes it anyway,
	// unless the service is Strict. Such requests name no region, so they are made in
	// the service's own. Those of S3 also need Domain, the domain in bucket.Domain, as
	// in s3api.Options.
	AllowSigV2 bool
	Domain     string

	// Strict answers as AWS does where Diskport is kinder.
	Strict bool

	// Our own pages below /-/, which need no signature. The path of one that is nil
	// is not found.
	Live, Ready, Health, Scrape, Console http.Handler
}

// Front is the front chain: the one http.Handler of the listener. It is safe
// for concurrent use.
type Front struct {
	opts    Options
	metrics *metrics
	pages   http.Handler
}

// New returns the front chain and registers its metrics.
func New(opts Options) *Front {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.NewID == nil {
		opts.NewID = awsid.Request
	}
	if opts.Flow == nil {
		opts.Flow = flow.New(flow.Options{Log: opts.Log, Metrics: opts.Metrics})
	}
	return &Front{opts: opts, metrics: newMetrics(opts.Metrics), pages: pages(opts)}
}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &Call{RequestID: f.opts.NewID()}
	w.Header().Set("X-Amzn-Requestid", c.RequestID)
	w.Header().Set("X-Amz-Request-Id", c.RequestID)
	begin := f.opts.Now()
	c.exchange = f.opts.Flow.Begin(w, r, c.RequestID)
	r = c.exchange.Request()
	rec := &recorder{ResponseWriter: c.exchange.Writer(), call: c}
	target := newTarget(r) // before an edge can change r
	traced, r := f.trace(r)
	r = r.WithContext(logkey.Begin(r.Context(), c.RequestID))
	defer func() {
		f.recover(r.Context(), rec, c, recover())
		if !rec.abort {
			rec.begin() // an edge that has written nothing has answered 200
		}
		took := f.opts.Now().Sub(begin)
		f.metrics.observe(c, rec, took)
		f.logAccess(r.Context(), c, rec, target, took)
		f.audit(c, rec, target, begin)
		endTrace(r.Context(), traced, c, rec)
		if rec.abort {
			c.exchange.Abort()
			panic(http.ErrAbortHandler) // net/http breaks the connection
		}
		c.exchange.End()
	}()
	if f.own(r) {
		c.Service = page
		f.pages.ServeHTTP(rec, r)
		return
	}
	f.serve(rec, r, c)
}

// trace begins the span of a request, unless it is for one of our pages.
func (f *Front) trace(r *http.Request) (span.Span, *http.Request) {
	if f.opts.Tracer == nil || f.own(r) {
		return span.Span{}, r
	}
	ctx, s := f.opts.Tracer.Serve(r.Context(), r.Header, "request")
	return s, r.WithContext(ctx)
}

// endTrace ends the span of a request with what is known about it by now.
func endTrace(ctx context.Context, s span.Span, c *Call, rec *recorder) {
	s.Rename(strings.TrimSuffix(c.Service+"."+c.Action, "."))
	s.Text(span.Request, c.RequestID)
	s.Text(span.Account, c.Principal.Account)
	s.Text(span.Task, logkey.Noted(ctx, logkey.Task))
	s.Text(span.Snapshot, logkey.Noted(ctx, logkey.Snapshot))
	s.Text("rpc.service", c.Service)
	s.Text("rpc.method", c.Action)
	s.Text("diskport.region", c.Region)
	s.Number(span.Status, int64(rec.status))
	if c.code != "" && rec.status >= http.StatusInternalServerError || rec.abort {
		s.Fail(c.code)
	}
	s.Text("error.type", c.code)
	s.End(nil)
}

// note notes what a request concerns, for the log.
func (c *Call) note(ctx context.Context) {
	logkey.Note(ctx, logkey.Account, c.Principal.Account)
	for _, name := range []string{"ImportTaskId", "ImportTaskId.1", "SnapshotId", "SnapshotId.1"} {
		logkey.NoteID(ctx, c.Form.Get(name))
	}
}

// recover turns a panic into InternalError if the answer has not begun yet, else
// into a broken connection.
func (f *Front) recover(ctx context.Context, rec *recorder, c *Call, cause any) {
	if cause == nil {
		return
	}
	if err, _ := cause.(error); !errors.Is(err, http.ErrAbortHandler) {
		f.opts.Log.ErrorContext(ctx, "panic while serving", logkey.Request, c.RequestID, "service", c.Service,
			"action", c.Action, "panic", cause, "stack", string(debug.Stack()))
	}
	if rec.begun {
		// Half an answer must not look like a whole one.
		c.code = "Aborted"
		rec.abort = true
		return
	}
	rec.status = 0
	c.Fail(rec, Internal(c.Service))
}

func (f *Front) serve(w http.ResponseWriter, r *http.Request, c *Call) {
	err := f.admit(r, c)
	c.note(r.Context())
	if err != nil {
		f.refuse(w, r, c, err)
		return
	}
	f.opts.Edges[c.Service].ServeAWS(w, r.WithContext(policy.WithBound(r.Context())), c)
}

func isPresigned(r *http.Request) bool {
	query := r.URL.Query()
	return query.Has("X-Amz-Signature") || query.Has("Signature")
}

func (f *Front) refuse(w http.ResponseWriter, r *http.Request, c *Call, err error) {
	var other *absentError
	if errors.As(err, &other) {
		c.refuseAbsent(w, r, other.service)
		return
	}
	why := refusalOf(err)
	if why == internal {
		f.opts.Log.ErrorContext(r.Context(), "admitting a request", logkey.Request, c.RequestID, logkey.Error, err)
	}
	fault := why.fault(c.Service)
	if c.Service == S3 {
		fault = s3Fault(r, err, fault)
	}
	c.Fail(w, fault)
}

// s3Fault returns the fault that S3 has for err, where it says more than the others do,
// or else fault.
func s3Fault(r *http.Request, err error, fault Fault) Fault {
	switch {
	case errors.Is(err, sigv4.ErrExpired) && isPresigned(r):
		return Fault{Status: http.StatusForbidden, Code: "AccessDenied", Message: "Request has expired"}
	case errors.Is(err, sigv4.ErrExpiry):
		text := "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"
		if strings.HasPrefix(r.URL.Query().Get("X-Amz-Expires"), "-") {
			text = "X-Amz-Expires must be non-negative"
		}
		return Fault{Status: http.StatusBadRequest, Code: "AuthorizationQueryParametersError", Message: text}
	case errors.Is(err, sigv4.ErrNoHash):
		return Fault{Status: http.StatusBadRequest, Code: "InvalidRequest", Message: "Missing required header for this request: x-amz-content-sha256"}
	case errors.Is(err, sigv4.ErrIncomplete) && r.URL.Query().Has("X-Amz-Signature"):
		return Fault{Status: fault.Status, Code: "AuthorizationQueryParametersError", Message: fault.Message} // there is no header
	case errors.Is(err, sigv4.ErrIncomplete) && r.URL.Query().Has("Signature"):
		return presignedV2Fault(r.URL.Query())
	}
	return fault
}

// presignedV2Fault returns S3's fault for a presigned query of Signature Version 2 that
// is not complete: unlike others of its kind it forbids, as AWS's does.
func presignedV2Fault(query url.Values) Fault {
	text := "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
	if query.Has("AWSAccessKeyId") && query.Has("Expires") {
		text = "Invalid date (should be seconds since epoch): " + query.Get("Expires")
	}
	return Fault{Status: http.StatusForbidden, Code: "AccessDenied", Message: text}
}
