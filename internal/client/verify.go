package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Finding is something of the store that is not as it was written.
type Finding struct {
	Part       string `json:"part"` // header, trailer, frame, page, root, file, stray, row, data, database or object
	SnapshotID string `json:"snapshotId,omitempty"`
	BlockIndex *int64 `json:"blockIndex,omitempty"` // in the snapshot
	Page       *int64 `json:"page,omitempty"`       // in the snapshot
	BlockID    string `json:"blockId,omitempty"`
	Object     string `json:"object,omitempty"` // of the embedded S3: its address, and where in it the file begins
	File       string `json:"file,omitempty"`   // in the store
	Offset     *int64 `json:"offset,omitempty"` // bytes, in the file
	Problem    string `json:"problem"`
	Advice     string `json:"advice"`
	Harmless   bool   `json:"harmless,omitempty"` // nothing needs it any more
	Text       string `json:"text"`               // all but the advice, for people
}

// Verified is the outcome of reading a snapshot back.
type Verified struct {
	SnapshotID string `json:"snapshotId"`
	Account    string `json:"account,omitempty"`
	Region     string `json:"region,omitempty"`
	OK         bool   `json:"ok"`
	Blocks     int64  `json:"blocks"`
	Findings   int64  `json:"findings,omitempty"`
	Error      string `json:"error,omitempty"`  // the first finding, or why it was not verified
	Locked     bool   `json:"locked,omitempty"` // its KMS key can't be used: it may be whole
}

// StoreVerified is the outcome of reading everything.
type StoreVerified struct {
	Files     int64 `json:"files"`
	Bytes     int64 `json:"bytes"`
	Blocks    int64 `json:"blocks"`
	Snapshots int64 `json:"snapshots"`
	Findings  int64 `json:"findings"` // without harmless ones
	Harmless  int64 `json:"harmless"`
	Healed    int64 `json:"healed"` // blocks that were said to be damaged, and are whole

	Locked []string `json:"locked,omitempty"` // domains whose key can't be used: blocks were compared with checksums alone
	Notes  []string `json:"notes,omitempty"`  // what else could not be checked
}

// Watching hears what a verification does. Any of its functions may be nil.
type Watching struct {
	Progress func(done, total int64)
	Found    func(Finding)
	Snapshot func(Verified) // one that was looked at
}

// complete returns w with functions that do nothing in place of those that are nil.
func (w Watching) complete() Watching {
	if w.Progress == nil {
		w.Progress = func(int64, int64) {}
	}
	if w.Found == nil {
		w.Found = func(Finding) {}
	}
	if w.Snapshot == nil {
		w.Snapshot = func(Verified) {}
	}
	return w
}

// Verify has the service read every block of a snapshot and check it. Progress is in
// blocks. While the service has no memory for that, Verify waits as an export does.
func (c *Client) Verify(ctx context.Context, id string, w Watching) (Verified, error) {
	result := Verified{SnapshotID: id}
	if err := c.verify(ctx, "snapshots/"+id+"/verify", &result, w); err != nil {
		return Verified{}, fmt.Errorf("verifying snapshot %s: %w", id, err)
	}
	return result, nil
}

// VerifyStore has the service read everything, rate bytes a second at most (0: as fast as it
// can). Progress is in bytes.
func (c *Client) VerifyStore(ctx context.Context, rate int64, w Watching) (StoreVerified, error) {
	return outcome[StoreVerified]("verifying the store", func(result any) error {
		return c.verify(ctx, fmt.Sprintf("verify?rate=%d", rate), result, w)
	})
}

// Repaired is what a repair has done.
type Repaired struct {
	MendedBlocks   int64 `json:"mendedBlocks"`
	MendedPages    int64 `json:"mendedPages"`
	RewrittenPacks int64 `json:"rewrittenPacks"`
	MendedRows     int64 `json:"mendedRows"` // of files
	Left           int64 `json:"left"`       // findings about snapshots
	TooMany        bool  `json:"tooMany,omitempty"`
}

// Repair has the service read everything, as VerifyStore does, and mend what it has another copy
// of.
func (c *Client) Repair(ctx context.Context, rate int64, w Watching) (Repaired, error) {
	return outcome[Repaired]("repairing the store", func(result any) error {
		return c.verify(ctx, fmt.Sprintf("repair?rate=%d", rate), result, w)
	})
}

// Rebuilt is what a rebuild has entered into the database.
type Rebuilt struct {
	BroughtBack int64 `json:"broughtBack"` // files that had been set aside
	Domains     int64 `json:"domains"`
	Packs       int64 `json:"packs"`
	PagesFiles  int64 `json:"pagesFiles"`
	Snapshots   int64 `json:"snapshots"`
	Findings    int64 `json:"findings"` // files that could not be entered
}

// Rebuild has the service enter what the store has and the database does not know.
func (c *Client) Rebuild(ctx context.Context, w Watching) (Rebuilt, error) {
	return outcome[Rebuilt]("rebuilding the database", func(result any) error {
		return c.verify(ctx, "rebuild", result, w)
	})
}

// verify does a request for a verification, again and again while the service is busy.
func (c *Client) verify(ctx context.Context, path string, result any, w Watching) error {
	for attempt := 1; ; attempt++ {
		err := c.verifyOnce(ctx, path, result, w)
		if err == nil || attempt >= busyAttempts || !isBusy(err) {
			return err
		}
		pause, _ := c.retry.RetryDelay(attempt, err) // never fails, see query
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (c *Client) verifyOnce(ctx context.Context, path string, result any, w Watching) error {
	w = w.complete()
	ended := false
	err := c.stream(ctx, http.MethodPost, path, func(event string, data []byte) error {
		switch event {
		case "result":
			ended = true
			return json.Unmarshal(data, result)
		case "finding":
			var f Finding
			if err := json.Unmarshal(data, &f); err != nil {
				return err
			}
			w.Found(f)
		case "snapshot":
			var v struct {
				Verified
				Locked string `json:"locked"`
			}
			if err := json.Unmarshal(data, &v); err != nil {
				return err
			}
			v.OK, v.Verified.Locked, v.Error = v.Findings == 0, v.Locked != "", v.Locked
			w.Snapshot(v.Verified)
		default:
			var p struct{ Done, Total int64 }
			if err := json.Unmarshal(data, &p); err != nil {
				return err
			}
			w.Progress(p.Done, p.Total)
		}
		return nil
	})
	if err == nil && !ended {
		err = errInterrupted
	}
	return err
}
