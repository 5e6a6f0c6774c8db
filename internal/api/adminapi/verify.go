package adminapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
)

// Verifier reads what the store keeps and says what is damaged. verify.Verifier implements
// it.
type Verifier interface {
	// Run reads everything.
	Run(ctx context.Context, e verify.Effort, o verify.Observer) (verify.Summary, error)
	// Repair reads everything, and mends what it can.
	Repair(ctx context.Context, e verify.Effort, o verify.Observer) (verify.Repaired, error)
	// Snapshot reads every block of a completed snapshot; progress is in blocks.
	Snapshot(ctx context.Context, rec snapshot.Record, o verify.Observer) (verify.Checked, error)
}

// findingInfo is a finding on the wire.
type findingInfo struct {
	Part     verify.Part `json:"part"`
	Snapshot string      `json:"snapshotId,omitempty"`
	Index    *int64      `json:"blockIndex,omitempty"`
	Page     *int64      `json:"page,omitempty"`
	Block    string      `json:"blockId,omitempty"`
	Object   string      `json:"object,omitempty"`
	File     string      `json:"file,omitempty"`
	Offset   *int64      `json:"offset,omitempty"` // bytes, in file
	Problem  string      `json:"problem"`
	Advice   string      `json:"advice"`
	Harmless bool        `json:"harmless,omitempty"`
	Text     string      `json:"text"` // all but the advice, for people
}

func wireFinding(f verify.Finding) findingInfo {
	known := func(n int64) *int64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	return findingInfo{
		Part: f.Part, Snapshot: f.Snapshot, Index: known(f.Index), Page: known(f.Page), Block: f.Block, Object: f.Object, File: f.File, Offset: known(f.Offset),
		Problem: f.Problem, Advice: f.Advice(), Harmless: f.Harmless, Text: f.String(),
	}
}

// observer returns what sends to a stream what a verification finds, and logs it.
func (e *Edge) observer(r *request, stream events) verify.Observer {
	return verify.Observer{
		Progress: e.teller(stream),
		Found: func(f verify.Finding) error {
			e.logFinding(r, f)
			_ = stream.send("finding", mustMarshal(wireFinding(f))) // if the client is gone, the request's context is cancelled
			return r.Context().Err()
		},
		Snapshot: func(s verify.Checked) error {
			_ = stream.send("snapshot", mustMarshal(struct {
				ID       string `json:"snapshotId"`
				Account  string `json:"account"`
				Region   string `json:"region"`
				Blocks   int64  `json:"blocks"`
				Findings int64  `json:"findings"`
				Locked   string `json:"locked,omitempty"` // why its KMS key can't be used
			}{s.ID, s.Account, s.Region, s.Blocks, s.Findings, s.Locked}))
			return r.Context().Err()
		},
	}
}

// logFinding tells the operator.
func (e *Edge) logFinding(r *request, f verify.Finding) {
	e.Log.ErrorContext(r.Context(), "something of the store is damaged", logkey.Snapshot, f.Snapshot, "part", string(f.Part), "damage", f.String(), "advice", f.Advice())
}

// verifySnapshot reads a snapshot back. It answers with events: progress now and then, what
// is found, and one result at the end.
func (e *Edge) verifySnapshot(r *request) error {
	s, err := e.ownCompleted(r)
	if err != nil {
		return err
	}
	if err := r.call.Reserve(snapshot.ScanBytes); err != nil {
		return err
	}
	stream := startEvents(r.w)
	result := struct {
		OK       bool   `json:"ok"`
		Blocks   int64  `json:"blocks"`
		Findings int64  `json:"findings,omitempty"`
		Locked   bool   `json:"locked,omitempty"` // its KMS key can't be used, which says nothing about damage
		Error    string `json:"error,omitempty"`  // the first finding, or why it was not verified
	}{Blocks: s.Blocks}
	o := e.observer(r, stream)
	found := o.Found
	o.Found = func(f verify.Finding) error {
		if result.Error == "" {
			result.Error = f.String()
		}
		return found(f)
	}
	c, err := e.Verifier.Snapshot(r.Context(), s, o)
	if r.Context().Err() != nil {
		return nil
	}
	result.Findings = c.Findings
	switch {
	case err != nil:
		e.Log.ErrorContext(r.Context(), "verifying a snapshot", logkey.Snapshot, s.ID, logkey.Error, err)
		result.Error = err.Error()
	case c.Locked != "" && c.Findings == 0:
		result.Locked, result.Error = true, c.Locked
	}
	result.OK = result.Error == ""
	_ = stream.send("result", mustMarshal(result)) // the client may be gone
	return nil
}

// startReading begins the answer to a request for which everything is read, once there is
// memory for that.
func startReading(r *request) (events, verify.Effort, error) {
	rate, err := rateOf(r)
	if err == nil {
		err = r.call.Reserve(verify.Bytes)
	}
	if err != nil {
		return events{}, verify.Effort{}, err
	}
	return startEvents(r.w), verify.Effort{Rate: rate}, nil
}

// verifyStore reads everything. It answers as verifySnapshot does.
func (e *Edge) verifyStore(r *request) error {
	stream, effort, err := startReading(r)
	if err != nil {
		return err
	}
	s, err := e.Verifier.Run(r.Context(), effort, e.observer(r, stream))
	s.Log(r.Context(), e.Log)
	if r.Context().Err() != nil {
		return nil
	}
	result := wireSummary(s)
	if err != nil {
		e.Log.ErrorContext(r.Context(), "verifying the store", logkey.Error, err)
		result.Error = err.Error() // it is the operator who asks
	}
	_ = stream.send("result", mustMarshal(result)) // the client may be gone
	return nil
}

// repairStore reads everything and mends what it can. It answers as verifyStore does.
func (e *Edge) repairStore(r *request) error {
	stream, effort, err := startReading(r)
	if err != nil {
		return err
	}
	done, err := e.Verifier.Repair(r.Context(), effort, e.observer(r, stream))
	e.Log.InfoContext(r.Context(), "repaired the store", "blocks", done.Mended, "pages", done.Pages, "packs", done.Packs, "rows", done.Rows, "left", done.Left)
	if r.Context().Err() != nil {
		return nil
	}
	result := struct {
		summaryInfo
		Mended  int64 `json:"mendedBlocks"`
		Pages   int64 `json:"mendedPages"`
		Packs   int64 `json:"rewrittenPacks"`
		Rows    int64 `json:"mendedRows"`
		Left    int64 `json:"left"` // findings about snapshots
		TooMany bool  `json:"tooMany,omitempty"`
	}{wireSummary(done.Summary), done.Mended, done.Pages, done.Packs, done.Rows, done.Left, done.TooMany}
	if err != nil {
		e.Log.ErrorContext(r.Context(), "repairing the store", logkey.Error, err)
		result.Error = err.Error() // it is the operator who asks
	}
	_ = stream.send("result", mustMarshal(result)) // the client may be gone
	return nil
}

// rebuild enters what the store has and the database does not know. It answers as verifyStore
// does.
func (e *Edge) rebuild(r *request) error {
	stream := startEvents(r.w)
	done, err := e.Rebuild(r.Context(), e.observer(r, stream))
	e.Log.InfoContext(r.Context(), "rebuilt the catalog", "files", done.BroughtBack, "domains", done.Domains, "packs", done.Packs, "pages", done.Pages, "snapshots", done.Snapshots, "findings", done.Findings)
	if r.Context().Err() != nil {
		return nil
	}
	result := struct {
		BroughtBack int64  `json:"broughtBack"` // files that had been set aside
		Domains     int64  `json:"domains"`
		Packs       int64  `json:"packs"`
		Pages       int64  `json:"pagesFiles"`
		Snapshots   int64  `json:"snapshots"`
		Findings    int64  `json:"findings"`
		Error       string `json:"error,omitempty"`
	}{done.BroughtBack, done.Domains, done.Packs, done.Pages, done.Snapshots, done.Findings, ""}
	if err != nil {
		e.Log.ErrorContext(r.Context(), "rebuilding the catalog", logkey.Error, err)
		result.Error = err.Error() // it is the operator who asks
	}
	_ = stream.send("result", mustMarshal(result)) // the client may be gone
	return nil
}

// summaryInfo is a summary on the wire.
type summaryInfo struct {
	Files     int64    `json:"files"`
	Bytes     int64    `json:"bytes"`
	Blocks    int64    `json:"blocks"`
	Snapshots int64    `json:"snapshots"`
	Findings  int64    `json:"findings"`
	Harmless  int64    `json:"harmless"`
	Healed    int64    `json:"healed"`
	Locked    []string `json:"locked,omitempty"`
	Notes     []string `json:"notes,omitempty"`
	Error     string   `json:"error,omitempty"`
}

func wireSummary(s verify.Summary) summaryInfo {
	return summaryInfo{s.Files, s.Bytes, s.Blocks, s.Snapshots, s.Findings, s.Harmless, s.Healed, s.Locked, s.Notes, ""}
}

// rateOf returns the bytes a second that a request allows; 0: any number.
func rateOf(r *request) (rate int64, err error) {
	text := r.URL.Query().Get("rate")
	if text == "" {
		return 0, nil
	}
	if rate, err = strconv.ParseInt(text, 10, 64); err != nil || rate < 0 {
		return 0, &failure{http.StatusBadRequest, "InvalidParameter", "rate must be a number of bytes a second; 0 is no bound"}
	}
	return rate, nil
}
