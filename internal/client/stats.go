package client

import (
	"context"
	"fmt"
	"net/http"
)

// Stats is what a store holds and takes, all accounts together.
type Stats struct {
	Snapshots        int64 `json:"snapshots"`
	VirtualBytes     int64 `json:"virtualBytes"`  // of their disks
	DataBytes        int64 `json:"dataBytes"`     // of their blocks, before any is shared
	DistinctBytes    int64 `json:"distinctBytes"` // of the blocks that are stored, before they are compressed
	StoredBytes      int64 `json:"storedBytes"`   // that these take
	DeadBytes        int64 `json:"deadBytes"`     // that a compaction gives back
	FileBytes        int64 `json:"fileBytes"`     // of all files
	Blocks           int64 `json:"blocks"`
	CompressedBlocks int64 `json:"compressedBlocks"`
	DamagedBlocks    int64 `json:"damagedBlocks"`
	Packs            int64 `json:"packs"`

	Deduplication float64 `json:"deduplication"` // data for each byte of distinct; 0: nothing is stored
	Compression   float64 `json:"compression"`   // distinct for each byte of stored; likewise
}

// Stats returns what the store holds and takes.
func (c *Client) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	if err := c.call(ctx, http.MethodGet, "stats", &s); err != nil {
		return Stats{}, fmt.Errorf("asking what the store takes: %w", err)
	}
	return s, nil
}
