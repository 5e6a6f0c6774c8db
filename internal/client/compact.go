package client

import (
	"context"
	"fmt"
	"net/http"
)

// CompactionPlan is what a compaction would rewrite.
type CompactionPlan struct {
	Packs             int64 `json:"packs"`
	Bytes             int64 `json:"bytes"`
	DeadBytes         int64 `json:"deadBytes"`         // would come back at least
	UncompressedBytes int64 `json:"uncompressedBytes"` // would be compressed
}

// Compacted is what a compaction did.
type Compacted struct {
	Packs      int64    `json:"packs"`
	NewPacks   int64    `json:"newPacks"`
	Blocks     int64    `json:"blocks"`
	Compressed int64    `json:"compressed"`
	Bytes      int64    `json:"bytes"` // given back
	Damaged    []string `json:"damaged,omitempty"`
	Locked     []string `json:"locked,omitempty"`
	Stopped    string   `json:"stopped,omitempty"`
}

// PlanCompaction says what Compact would do.
func (c *Client) PlanCompaction(ctx context.Context) (CompactionPlan, error) {
	var p CompactionPlan
	if err := c.call(ctx, http.MethodGet, "compact", &p); err != nil {
		return CompactionPlan{}, fmt.Errorf("planning a compaction: %w", err)
	}
	return p, nil
}

// Compact has the service rewrite its packs, reading and writing rate bytes a second
// at most (0: as fast as it can), and calls progress now and then. It ends with ctx.
func (c *Client) Compact(ctx context.Context, rate int64, progress func(done, total int64)) (Compacted, error) {
	return outcome[Compacted]("compacting", func(result any) error {
		return c.watch(ctx, fmt.Sprintf("compact?rate=%d", rate), result, progress)
	})
}
