package adminapi

import (
	"math"
	"net/http"

	"github.com/diskport/diskport/internal/block"
)

// stats says what the store holds and takes.
func (e *Edge) stats(r *request) error {
	u, err := e.Usage.Usage(r.Context())
	if err != nil {
		return err
	}
	distinct := u.Blocks * block.Size
	writeJSON(r.w, http.StatusOK, struct {
		Snapshots        int64   `json:"snapshots"`
		VirtualBytes     int64   `json:"virtualBytes"`  // of their disks
		DataBytes        int64   `json:"dataBytes"`     // of their blocks, before any is shared
		DistinctBytes    int64   `json:"distinctBytes"` // of the blocks that are stored, before they are compressed
		StoredBytes      int64   `json:"storedBytes"`   // that these take
		DeadBytes        int64   `json:"deadBytes"`     // that a compaction gives back
		FileBytes        int64   `json:"fileBytes"`     // of all files
		Blocks           int64   `json:"blocks"`
		CompressedBlocks int64   `json:"compressedBlocks"`
		DamagedBlocks    int64   `json:"damagedBlocks"`
		Packs            int64   `json:"packs"`
		Deduplication    float64 `json:"deduplication"` // data for each byte of distinct; 0: nothing is stored
		Compression      float64 `json:"compression"`   // distinct for each byte of stored
	}{
		u.Snapshots, u.Virtual, u.Data, distinct, u.Frames, u.Dead, u.PackBytes + u.Manifests,
		u.Blocks, u.Compressed, u.Damaged, u.Packs, ratio(u.Data, distinct), ratio(distinct, u.Frames),
	})
	return nil
}

// ratio returns a/b to three digits behind the point; 0 when there is nothing.
func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return math.Round(float64(a)/float64(b)*1000) / 1000
}
