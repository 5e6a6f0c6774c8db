package kmsapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/space"
)

const (
	targetPrefix = "TrentService."
	contentType  = "application/x-amz-json-1.1"
)

// Options configures an Edge. Both fields are required.
type Options struct {
	Service *kms.Service
	Log     *slog.Logger
}

// Edge serves KMS. It is safe for concurrent use.
type Edge struct{ opts Options }

var _ awshttp.Edge = (*Edge)(nil)

// New returns an Edge.
func New(o Options) *Edge { return &Edge{o} }

// call is one request on its way through the edge.
type call struct {
	*Edge
	*awshttp.Call
	who kms.Caller
}

// ServeAWS implements awshttp.Edge.
func (e *Edge) ServeAWS(w http.ResponseWriter, r *http.Request, c *awshttp.Call) {
	out, err := serve(r.Context(), call{e, c, c.KeyUser()}, r.Header.Get("X-Amz-Target"))
	if err != nil {
		c.Fail(w, e.fault(r.Context(), c, err))
		return
	}
	answer(w, out)
}

func serve(ctx context.Context, c call, target string) (any, error) {
	name, ours := strings.CutPrefix(target, targetPrefix)
	act, served := actions[name]
	switch {
	case !ours || !served && !isUnsupported(name):
		return nil, awshttp.Fault{Status: 400, Code: "UnknownOperationException"}
	case !served:
		return nil, awshttp.Fault{Status: 400, Code: "UnsupportedOperationException", Message: "The operation " + name + " is not supported."}
	}
	c.Action = name
	return act(ctx, c)
}

// answer writes out as the response, or no body at all if an action returns
// nothing.
func answer(w http.ResponseWriter, out any) {
	w.Header().Set("Content-Type", contentType)
	if out == nil {
		w.Header().Set("Content-Length", "0")
		return
	}
	body, err := json.Marshal(out)
	if err != nil {
		panic(err) // a type that encoding/json can't encode: a bug in this package
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // if the client is gone, there is nobody to answer
}

// fault is the one place where errors become codes. An error that it does not know
// is internal: its cause is logged and not sent to the client.
func (e *Edge) fault(ctx context.Context, c *awshttp.Call, err error) awshttp.Fault {
	if f, ok := errors.AsType[awshttp.Fault](err); ok {
		return f
	}
	if f, ok := known(err); ok {
		return f
	}
	if errors.Is(err, iam.ErrRemoved) {
		return awshttp.NoAccount(c.Service)
	}
	if space.IsFull(err) {
		full := awshttp.NoSpace(c.Service, err)
		return awshttp.Fault{Status: 503, Code: "DependencyTimeoutException", Message: full.Message}
	}
	e.opts.Log.ErrorContext(ctx, "serving a request", logkey.Request, c.RequestID, "service", c.Service, "action", c.Action, logkey.Error, err)
	return awshttp.Fault{Status: 500, Code: "KMSInternalException", Message: "An internal error has occurred"}
}
