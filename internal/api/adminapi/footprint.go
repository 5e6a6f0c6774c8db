package adminapi

import (
	"errors"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// measureSnapshot says what the snapshot takes of the store, and what of that only it
// names. It answers with events, since that takes long in a large store: progress now
// and then, and one result at the end. It ends when its client goes.
func (e *Edge) measureSnapshot(r *request) error {
	s, err := e.ownCompleted(r)
	if err != nil {
		return err
	}
	stream := startEvents(r.w)
	if err := stream.flush(); err != nil {
		return nil // the client is gone
	}
	f, err := e.Measurer.Measure(r.Context(), s, e.teller(stream))
	if r.Context().Err() != nil {
		return nil
	}
	if err != nil {
		if !errors.Is(err, snapshot.ErrNotFound) { // it may have been deleted meanwhile
			e.Log.ErrorContext(r.Context(), "measuring a snapshot", logkey.Snapshot, s.ID, logkey.Error, err)
		}
		_ = stream.send("result", mustMarshal(struct {
			Error string `json:"error"`
			Code  string `json:"code"`
		}{err.Error(), asFailure(err).code})) // the client may be gone
		return nil
	}
	_ = stream.send("result", mustMarshal(struct {
		StoredBytes  int64    `json:"storedBytes"` // that it takes on disk: shared and unique
		SharedBytes  int64    `json:"sharedBytes"`
		UniqueBytes  int64    `json:"uniqueBytes"` // that deleting it gives back
		MarginBytes  int64    `json:"marginBytes"` // that each of these may be off; 0: exact
		Blocks       int64    `json:"blocks"`      // different ones
		UniqueBlocks int64    `json:"uniqueBlocks"`
		Volumes      int64    `json:"volumes"` // made from it, which keep all of it
		Drafts       int64    `json:"drafts"`  // started from it, likewise
		Damaged      []string `json:"damaged,omitempty"`
	}{f.Stored, f.Shared, f.Unique, f.Margin, f.Blocks, f.UniqueBlocks, f.Volumes, f.Drafts, f.Damaged})) // likewise
	return nil
}
