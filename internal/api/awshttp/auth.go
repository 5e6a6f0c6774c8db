package awshttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/logkey"
)

// admit fills in the service, the principal and the body of c. It returns nil for
// an anonymous request to S3, which that edge accepts or refuses.
func (f *Front) admit(w http.ResponseWriter, r *http.Request, c *Call) error {
	c.Service = sigv4.Scope(r)
	if strings.HasPrefix(r.URL.Path, apiPath) && c.Service != Diskport {
		unscoped := c.Service == ""
		c.Service = Diskport
		if unscoped {
			return missing
		}
		return mismatch
	}
	if c.Service == "" {
		err := unscoped(w, r, c)
		if errors.Is(err, version2) && f.opts.AllowSigV2 && f.opts.Edges[c.Service] != nil {
			return f.authenticateV2(r, c)
		}
		if err != nil {
			return err
		}
	}
	if f.opts.Edges[c.Service] == nil {
		return mismatch
	}
	return f.authenticate(w, r, c)
}

// unscoped finds the service of a request without a credential scope: EC2's query
// protocol if it has an Action, else S3.
func unscoped(w http.ResponseWriter, r *http.Request, c *Call) error {
	c.Service = EC2 // until more is known: only forms can go wrong here
	var body []byte
	if isForm(r) {
		var err error
		if body, err = readBody(w, r, maxForm); err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	form, err := readForm(r, body)
	switch {
	case err == nil && sigv4.IsV2(form):
		c.Form, c.Body, err = form, body, version2
	case err == nil && form.Has("Action"):
		err = missing
		if _, parsed := sigv4.Parse(r); parsed != nil {
			err = parsed // says what is wrong with the credentials
		}
	}
	if !form.Has("Action") {
		c.Service = S3
	}
	return err
}

func (f *Front) authenticate(w http.ResponseWriter, r *http.Request, c *Call) error {
	signature, err := sigv4.Parse(r)
	if errors.Is(err, sigv4.ErrMissing) && c.Service == S3 {
		return nil
	}
	if err != nil {
		return err
	}
	c.Region = signature.Region
	c.Origin = f.origin(r, c.Region)
	bodyHash := ""
	if c.Service != S3 {
		if c.Body, err = readBody(w, r, bodyCap(c.Service)); err != nil {
			return err
		}
		if c.Form, err = readForm(r, c.Body); err != nil {
			return err
		}
		bodyHash = sigv4.HashBody(c.Body)
	}
	principal, secret, err := f.opts.Keys.Lookup(r.Context(), signature.AccessKeyID, signature.SessionToken)
	if err != nil {
		return err
	}
	if err := signature.Verify(secret, f.opts.Now(), bodyHash); err != nil {
		return err
	}
	f.admitted(r, c, principal)
	return nil
}

// noter is a Keys that is told which keys are in use.
type noter interface {
	Used(ctx context.Context, p iam.Principal, service, region string) error
}

// admitted stores the principal that the request has proven to come from.
func (f *Front) admitted(r *http.Request, c *Call, p iam.Principal) {
	c.Principal = p
	n, ok := f.opts.Keys.(noter)
	if !ok {
		return
	}
	if err := n.Used(r.Context(), p, c.Service, c.Region); err != nil {
		// A failure to note it does not fail the request.
		f.opts.Log.WarnContext(r.Context(), "noting the use of a key", logkey.Request, c.RequestID, logkey.Error, err)
	}
}

func (f *Front) origin(r *http.Request, region string) iam.Origin {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "" // a unix socket: no address to ask about
	}
	return iam.Origin{Time: f.opts.Now(), SourceIP: host, Secure: r.TLS != nil, Region: region, UserAgent: r.UserAgent()}
}
