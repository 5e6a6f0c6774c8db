package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// service is the name that requests to /-/v1/ are signed for.
const service = "diskport"

// emptyHash is the SHA-256 of no bytes: every request here has an empty body.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// maxAnswer bounds a JSON answer, in bytes.
const maxAnswer = 64 << 20

// do sends a signed request to /-/v1/ and returns the answer, which the caller
// closes. An answer that is not 200 is an *Error.
func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+"/-/v1/"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the service for %s: %w", path, err)
	}
	creds, err := c.creds.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", c.endpoint, err)
	}
	req.Header.Set("X-Amz-Content-Sha256", emptyHash)
	if err := c.signer.SignHTTP(ctx, creds, req, emptyHash, service, c.region, time.Now()); err != nil {
		return nil, fmt.Errorf("signing a request for %s: %w", path, err)
	}
	resp, err := c.http.Do(req)
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

func readError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(body, e) != nil || e.Code == "" {
		e.Code, e.Message = "HTTP", resp.Status
	}
	return e
}
