package adminapi

import (
	"net/http"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/compact"
)

// effort returns the effort that a request asks for.
func effort(r *request) (compact.Effort, error) {
	rate, err := rateOf(r)
	if err != nil {
		return compact.Effort{}, err
	}
	return compact.Thorough(rate), nil
}

// planCompaction says what a compaction would rewrite.
func (e *Edge) planCompaction(r *request) error {
	with, err := effort(r)
	if err != nil {
		return err
	}
	p, err := e.Compactor.Plan(r.Context(), with)
	if err != nil {
		return err
	}
	writeJSON(r.w, http.StatusOK, struct {
		Packs             int64 `json:"packs"`
		Bytes             int64 `json:"bytes"`
		DeadBytes         int64 `json:"deadBytes"`         // would come back at least
		UncompressedBytes int64 `json:"uncompressedBytes"` // would be compressed
	}{p.Packs, p.Bytes, p.Dead, p.Uncompressed})
	return nil
}

// compact rewrites packs. It answers with events: progress now and then, and one
// result at the end.
func (e *Edge) compact(r *request) error {
	with, err := effort(r)
	if err != nil {
		return err
	}
	stream := startEvents(r.w)
	tell := e.teller(stream)
	report, err := e.Compactor.Run(r.Context(), with, func(p compact.Progress) { tell(p.Done, p.Total) })
	report.Log(r.Context(), e.Log)
	if r.Context().Err() != nil {
		return nil
	}
	result := struct {
		Packs      int64    `json:"packs"`
		NewPacks   int64    `json:"newPacks"`
		Blocks     int64    `json:"blocks"`
		Compressed int64    `json:"compressed"`
		Bytes      int64    `json:"bytes"` // given back
		Damaged    []string `json:"damaged,omitempty"`
		Locked     []string `json:"locked,omitempty"`
		Stopped    string   `json:"stopped,omitempty"`
		Error      string   `json:"error,omitempty"`
	}{report.Packs, report.NewPacks, report.Blocks, report.Compressed, report.Freed, report.Damaged, report.Locked, report.Stopped, ""}
	if err != nil {
		e.Log.ErrorContext(r.Context(), "rewriting packs", logkey.Error, err)
		result.Error = err.Error() // it is the operator who asks
	}
	_ = stream.send("result", mustMarshal(result)) // the client may be gone
	return nil
}
