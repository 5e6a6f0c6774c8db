package adminapi

import (
	"net/http"

	"github.com/diskport/diskport/internal/block"
)

// stats says what the store holds and takes.
func (e *Edge) stats(r *request) error {
	u, err := e.Usage.Usage(r.Context())
	if err != nil {
		return err
	}
	writeJSON(r.w, http.StatusOK, struct {
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
	}{
		u.Snapshots, u.Virtual, u.Data, u.Blocks * block.Size, u.Frames, u.Dead, u.PackBytes + u.Manifests,
		u.Blocks, u.Compressed, u.Damaged, u.Packs,
	})
	return nil
}
