package iamapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/logkey"
)

// Options configures an Edge. Both fields are required.
type Options struct {
	Service *iam.Service
	Log     *slog.Logger
}

// Edge serves IAM and STS; Call.Service says which of them a request is for. It is
// safe for concurrent use.
type Edge struct{ opts Options }

var _ awshttp.Edge = (*Edge)(nil)

// New returns an Edge.
func New(o Options) *Edge { return &Edge{o} }

// call is one request on its way through the edge.
type call struct {
	*Edge
	*awshttp.Call
}

func (c call) account() string { return c.Principal.Account }

// ServeAWS implements awshttp.Edge.
func (e *Edge) ServeAWS(w http.ResponseWriter, r *http.Request, c *awshttp.Call) {
	out, err := e.serve(r.Context(), call{e, c})
	if err != nil {
		c.Fail(w, e.fault(r.Context(), c, err))
		return
	}
	awshttp.WriteXML(w, http.StatusOK, answer{c, out})
}

func (e *Edge) serve(ctx context.Context, c call) (any, error) {
	p, name := protocols[c.Service], c.Form.Get("Action")
	act, served := p.actions[name]
	switch {
	case name == "":
		return nil, awshttp.Fault{Status: 400, Code: "MissingAction", Message: "The request is missing an Action parameter."}
	case c.Form.Get("Version") != p.version || !served && !p.knows(name):
		return nil, awshttp.Fault{Status: 400, Code: "InvalidAction", Message: "Could not find operation " + shorten(name) + " for version " + shorten(c.Form.Get("Version"))}
	case !served:
		return nil, awshttp.Fault{Status: 400, Code: "UnsupportedOperation", Message: "The operation " + name + " is not supported."}
	}
	c.Action = name
	if c.Service == awshttp.IAM && c.Principal.Temporary() && c.Principal.Kind != iam.RoleSession {
		// As at AWS, a session token of a user or root gives no access to IAM.
		return nil, awshttp.Fault{Status: 403, Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid"}
	}
	return act(ctx, c)
}

// shorten cuts a client's text, so that it can't fill the response.
func shorten(text string) string { return text[:min(len(text), 128)] }

// fault is the one place where errors become codes. An error that it does not know
// is internal: its cause is logged and not sent to the client.
func (e *Edge) fault(ctx context.Context, c *awshttp.Call, err error) awshttp.Fault {
	if f, ok := errors.AsType[awshttp.Fault](err); ok {
		return f
	}
	if f, ok := known(err); ok {
		if document, malformed := errors.AsType[*policy.SyntaxError](err); malformed { // IAM's text says little
			e.opts.Log.InfoContext(ctx, "refused a policy", logkey.Request, c.RequestID, "service", c.Service, "action", c.Action, "reason", document.Reason)
		}
		return f
	}
	f, logged := awshttp.Unknown(c.Service, err)
	if logged {
		e.opts.Log.ErrorContext(ctx, "serving a request", logkey.Request, c.RequestID, "service", c.Service, "action", c.Action, logkey.Error, err)
	}
	return f
}
