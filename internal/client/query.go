package client

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// protocol is an API of AWS that speaks the Query protocol: form parameters in, XML
// out. The SDK has clients of both, but compiling them, for six calls, took a third
// of the time that the whole program takes.
type protocol struct {
	service string // to sign for
	version string
	header  string // that requests have; empty: none
}

var (
	ec2 = protocol{"ec2", "2016-11-15", ""}
	iam = protocol{"iam", "2010-05-08", ""}

	// taggingImports is ec2 for imports that tag their snapshots, which AWS's can't: the
	// service takes it only from who says that they know.
	taggingImports = protocol{ec2.service, ec2.version, "X-Diskport-Tag-Snapshots"}
)

// maxXML bounds an answer, in bytes. The answers to these calls have a few KiB.
const maxXML = 1 << 20

// query calls an action, and decodes its answer into out, a pointer to a struct
// with `xml` tags, or to nothing where out is nil. It adds what every request
// carries to params. After a failure that may go away it tries again, with the
// number of attempts and the pauses of the AWS SDK. Since only the first answer may
// have been lost, an action may be carried out twice; the caller makes sure that
// this does no harm. An answer that is not 200 is an *APIError.
func (c *Client) query(ctx context.Context, p protocol, action string, params url.Values, out any) error {
	params.Set("Action", action)
	params.Set("Version", p.version)
	form := []byte(params.Encode())
	for attempt := 1; ; attempt++ {
		err := c.attempt(ctx, p, form, out)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case attempt == c.retry.MaxAttempts() || !c.retry.IsErrorRetryable(err):
			return err
		}
		pause, _ := c.retry.RetryDelay(attempt, err) // fails only if crypto/rand does, which never fails
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// attempt sends a form once.
func (c *Client) attempt(ctx context.Context, p protocol, form []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", bytes.NewReader(form))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if p.header != "" {
		req.Header.Set(p.header, "true")
	}
	resp, err := c.send(req, p.service, form)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxXML+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the answer: %w", err)
	case len(body) > maxXML:
		return fmt.Errorf("reading the answer: it is longer than %d bytes", maxXML)
	case resp.StatusCode != http.StatusOK:
		return newAPIError(resp, body)
	case out == nil:
		return nil
	}
	if err := xml.Unmarshal(body, out); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

// newAPIError reads an error of EC2 or of IAM, which write it differently. Any
// other answer, such as a proxy's page, is reported by its status.
func newAPIError(resp *http.Response, body []byte) *APIError {
	type fault struct{ Code, Message string }
	var answer struct {
		EC2          fault  `xml:"Errors>Error"`
		EC2RequestID string `xml:"RequestID"`
		IAM          fault  `xml:"Error"`
		IAMRequestID string `xml:"RequestId"`
	}
	e := &APIError{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Amzn-Requestid")}
	if err := xml.Unmarshal(body, &answer); err == nil {
		e.Code, e.Message = answer.EC2.Code+answer.IAM.Code, answer.EC2.Message+answer.IAM.Message
		if id := answer.EC2RequestID + answer.IAMRequestID; id != "" {
			e.RequestID = id
		}
	}
	if e.Code == "" {
		e.Code, e.Message = "HTTP", strings.TrimSpace(resp.Status)
	}
	return e
}
