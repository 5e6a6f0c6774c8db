package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Health is the state of a service.
type Health struct {
	Status   string            `json:"status"`   // "ok", "full": it takes no more data, "stuck": it looks into no more images, or "down"
	Database string            `json:"database"` // "ok" or "unavailable"; empty: the service is older
	Services map[string]string `json:"services"`
	Space    struct {
		FreeBytes    int64      `json:"freeBytes"`    // of the disk that has least to spare
		LeastBytes   int64      `json:"leastBytes"`   // that must stay free there
		NeededBytes  int64      `json:"neededBytes"`  // that must be free there for it to take data again; 0: it does
		BallastBytes int64      `json:"ballastBytes"` // that are let go for deletions
		ReserveBytes int64      `json:"reserveBytes"` // that imports and uploads leave alone
		Since        *time.Time `json:"since"`        // of the last change between "ok" and "full"
	} `json:"space"`
}

// Health returns the state of the service. It needs no credentials.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.endpoint+"/-/health", nil)
	if err != nil {
		return h, fmt.Errorf("asking for the health of the service: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return h, fmt.Errorf("asking for the health of the service: %w", err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&h); err != nil {
		return h, fmt.Errorf("reading the health of the service: %w", err)
	}
	return h, nil
}

// IsNoSpace reports whether the service refused something for want of disk space.
func IsNoSpace(err error) bool {
	said := code(err)
	if own, ok := errors.AsType[*Error](err); ok {
		said = own.Code
	}
	return said == "InsufficientCapacity" || said == "InsufficientStorage"
}
