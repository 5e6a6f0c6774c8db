package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// service is the name that requests to /-/v1/ are signed for.
const service = "diskport"

// maxAnswer bounds a JSON answer, in bytes.
const maxAnswer = 64 << 20

// do sends a signed request to /-/v1/ and returns the answer, which the caller
// closes. An answer that is not 200 is an *Error.
func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	return c.doWith(ctx, method, path, nil)
}

// doWith is do with a body.
func (c *Client) doWith(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+"/-/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking the service for %s: %w", path, err)
	}
	resp, err := c.send(req, service, body)
	if err != nil {
		return nil, fmt.Errorf("asking the service for %s: %w", path, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// call does a request whose whole answer is JSON, decoded into out.
func (c *Client) call(ctx context.Context, method, path string, out any) error {
	resp, err := c.do(ctx, method, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("reading the service's answer for %s: %w", path, err)
	}
	return nil
}

// readError reads what the service's own API answered, or the front of all its APIs,
// which names the code as AWS's services do.
func readError(resp *http.Response) error {
	var answer struct {
		Code    string `json:"code"`
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	e := &Error{Status: resp.StatusCode, Code: "HTTP", Message: resp.Status}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(body, &answer) != nil {
		return e
	}
	if code := cmp.Or(answer.Code, answer.Type); code != "" {
		e.Code, e.Message = code, answer.Message
	}
	return e
}
