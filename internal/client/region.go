package client

import (
	"context"
	"fmt"
	"net/http"
)

// Regions lists the regions that the service plays, sorted.
func (c *Client) Regions(ctx context.Context) ([]string, error) {
	var out struct{ Regions []string }
	if err := c.call(ctx, http.MethodGet, "regions", &out); err != nil {
		return nil, fmt.Errorf("listing regions: %w", err)
	}
	return out.Regions, nil
}

// In returns a client of the same service for another region.
func (c *Client) In(region string) *Client {
	return New(Config{Endpoint: c.endpoint, Region: region, Credentials: c.creds, HTTP: c.http})
}
