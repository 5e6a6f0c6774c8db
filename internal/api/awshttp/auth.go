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
func (f *Front) admit(r *http.Request, c *Call) error {
	c.Service = sigv4.Scope(r)
	if strings.HasPrefix(r.URL.Path, apiPath) && c.Service != Diskport {
		unscoped := c.Service == ""
		c.Service = Diskport
		if unscoped {
			return missing
		}
		return mismatch
	}
	if r.Method == http.MethodOptions && (c.Service == "" || c.Service == S3) && f.opts.Edges[S3] != nil {
		// A browser asks about a presigned URL with the signature of what it will send.
		c.Service = S3
		f.anonymous(r, c)
		return nil
	}
	if c.Service == "" {
		err := unscoped(r, c)
		if errors.Is(err, version2) && f.takesV2(c.Service) && f.opts.Edges[c.Service] != nil {
			return f.authenticateV2(r, c)
		}
		if err != nil {
			return err
		}
	}
	if f.opts.Edges[c.Service] == nil {
		return absent(c.Service)
	}
	return f.authenticate(r, c)
}

// unscoped finds the service of a request without a credential scope: EC2's query
// protocol if it has an Action, else S3.
func unscoped(r *http.Request, c *Call) error {
	if strings.HasPrefix(r.Header.Get("Authorization"), "AWS ") {
		c.Service = S3 // EC2 has version 2 in forms and queries alone
		return version2
	}
	c.Service = EC2 // until more is known: only forms can go wrong here
	var body []byte
	if isForm(r) {
		var err error
		if body, err = c.readBody(r, maxUnscoped); err != nil {
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

// authenticate finds out who sends a request. Whatever can be known from the header is
// looked at before the body is read: the key, the date and, if the header says what the
// hash of the body is, the signature.
func (f *Front) authenticate(r *http.Request, c *Call) error {
	signature, err := sigv4.Parse(r)
	if errors.Is(err, sigv4.ErrMissing) && c.Service == S3 {
		f.anonymous(r, c)
		return nil
	}
	if err != nil {
		return err
	}
	if c.Region, err = f.region(c.Service, signature.Region); err != nil {
		return err
	}
	c.Origin = f.origin(r, c)
	principal, secret, err := f.opts.Keys.Lookup(r.Context(), signature.AccessKeyID, signature.SessionToken)
	if err != nil {
		return err
	}
	if err := c.claim(signature.AccessKeyID); err != nil {
		return err
	}
	verify := func(bodyHash string) error {
		if err := signature.Verify(secret, f.opts.Now(), bodyHash); err != nil {
			return err
		}
		return c.prove(principal)
	}
	if c.Service == S3 || signature.PayloadHash != "" {
		err = verify("")
	} else {
		err = signature.CheckDate(f.opts.Now())
	}
	if err == nil && c.Service != S3 {
		err = f.receive(r, c, verify)
	}
	if err != nil {
		return err
	}
	if c.Service == S3 {
		c.Payload = signature.Payload(secret)
	}
	f.admitted(r, c, principal)
	return nil
}

// anonymous fills in what is known of a request to S3 that nobody has signed.
func (f *Front) anonymous(r *http.Request, c *Call) {
	c.Region = f.opts.Regions.Own()
	c.Origin = f.origin(r, c)
	c.Payload.Declared = r.Header.Get("X-Amz-Content-Sha256")
}

// receive reads the body of a request to any service but S3. Its form is taken apart
// only when verify has found that the body was signed.
func (f *Front) receive(r *http.Request, c *Call, verify func(bodyHash string) error) (err error) {
	if c.Body, err = c.readBody(r, bodyCap(c.Service)); err != nil {
		return err
	}
	r.Body = http.NoBody
	if err := verify(sigv4.HashBody(c.Body)); err != nil {
		return err
	}
	c.Form, err = readForm(r, c.Body)
	return err
}

// region returns the region that a request to a service is made in, given that of its
// credential scope, which is what the client claims.
func (f *Front) region(service, scope string) (string, error) {
	switch {
	case service == IAM || service == STS:
		return f.opts.Regions.Global(), nil
	case service == S3 || f.opts.Regions.Has(scope):
		return scope, nil
	}
	return "", badRegion
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

func (f *Front) origin(r *http.Request, c *Call) iam.Origin {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = "" // a unix socket: no address to ask about
	}
	secure := r.TLS != nil
	if c.Service == S3 && !f.opts.Strict {
		// What does not leave the machine can't be overheard. Pipelines that refuse
		// anything but https to their buckets need no certificate to try things out.
		secure = secure || net.ParseIP(host).IsLoopback()
	}
	return iam.Origin{Time: f.opts.Now(), SourceIP: host, Secure: secure, Region: c.Region, UserAgent: r.UserAgent()}
}
