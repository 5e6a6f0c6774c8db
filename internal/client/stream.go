package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// maxEvent bounds one line of an event stream, in bytes.
const maxEvent = 4 << 20

// stream does a request that is answered with server-sent events, and calls fn
// for each until the stream ends or fn returns an error.
func (c *Client) stream(ctx context.Context, method, path string, fn func(event string, data []byte) error) error {
	return c.streamWith(ctx, method, path, nil, fn)
}

// streamWith is stream for a request with a body.
func (c *Client) streamWith(ctx context.Context, method, path string, body []byte, fn func(event string, data []byte) error) error {
	resp, err := c.doWith(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	var event string
	for lines.Scan() {
		line := lines.Bytes()
		if v, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			event = string(v)
		} else if v, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			if err := fn(event, v); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading events of %s: %w", path, err)
	}
	return nil
}

// watch is follow for an operation that changes something.
func (c *Client) watch(ctx context.Context, path string, result any, progress func(done, total int64)) error {
	return c.follow(ctx, http.MethodPost, path, result, progress)
}

// follow does a request that reports its progress and then its result, which is read
// into result.
func (c *Client) follow(ctx context.Context, method, path string, result any, progress func(done, total int64)) error {
	return c.followWith(ctx, method, path, nil, result, progress)
}

// followWith is follow for a request with a body.
func (c *Client) followWith(ctx context.Context, method, path string, body []byte, result any, progress func(done, total int64)) error {
	ended := false
	err := c.streamWith(ctx, method, path, body, func(event string, data []byte) error {
		if event == "result" {
			ended = true
			return json.Unmarshal(data, result)
		}
		var p struct{ Done, Total int64 }
		if err := json.Unmarshal(data, &p); err != nil {
			return err
		}
		progress(p.Done, p.Total)
		return nil
	})
	if err == nil && !ended {
		err = errInterrupted
	}
	return err
}
