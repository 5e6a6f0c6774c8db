package snapshot

// Usage is what a store holds and takes, all accounts together. Sizes are bytes.
type Usage struct {
	Snapshots int64 // completed
	Virtual   int64 // of their disks
	Data      int64 // of their blocks, before any is shared

	Blocks     int64 // that are stored
	Compressed int64 // of them
	Damaged    int64 // of them
	Frames     int64 // bytes that they take

	Packs     int64
	PackBytes int64
	Dead      int64 // of PackBytes: frames that were let go, which a compaction gives back
	Manifests int64 // bytes of pages and roots
}
