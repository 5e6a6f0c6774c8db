package client

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
)

// maxEvent bounds one line of an event stream, in bytes.
const maxEvent = 4 << 20

// stream does a request that is answered with server-sent events, and calls fn
// for each until the stream ends or fn returns an error.
func (c *Client) stream(ctx context.Context, method, path string, fn func(event string, data []byte) error) error {
	resp, err := c.do(ctx, method, path)
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
