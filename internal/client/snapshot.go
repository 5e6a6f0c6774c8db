package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Snapshot is a snapshot with its sizes.
type Snapshot struct {
	ID           string            `json:"id"`
	Region       string            `json:"region"`
	State        string            `json:"state"` // pending, completed, error
	Description  string            `json:"description"`
	SourceName   string            `json:"sourceName,omitempty"` // of the file that was imported
	ImportTaskID string            `json:"importTaskId,omitempty"`
	VolumeSize   int64             `json:"volumeSize"`   // GiB
	VirtualBytes int64             `json:"virtualBytes"` // of the imported disk
	DataBytes    int64             `json:"dataBytes"`    // blocks it is made of, before sharing
	AddedBytes   int64             `json:"addedBytes"`   // to the store, when it was made
	Blocks       int64             `json:"blocks"`
	Encrypted    bool              `json:"encrypted"`
	KMSKeyARN    string            `json:"kmsKeyArn,omitempty"`
	Message      string            `json:"message,omitempty"` // why it is in error
	Tags         map[string]string `json:"tags,omitempty"`
	StartedAt    time.Time         `json:"startedAt"`
	CompletedAt  *time.Time        `json:"completedAt,omitempty"`
	Sizes        *Sizes            `json:"sizes,omitempty"` // nil: they were not measured
}

// Sizes is what a snapshot takes of the store, as Client.Measure finds it.
type Sizes struct {
	StoredBytes  int64    `json:"storedBytes"` // that it takes on disk: shared and unique
	SharedBytes  int64    `json:"sharedBytes"`
	UniqueBytes  int64    `json:"uniqueBytes"` // that deleting it gives back
	MarginBytes  int64    `json:"marginBytes"` // that each of these may be off; 0: exact
	Blocks       int64    `json:"blocks"`      // different ones
	UniqueBlocks int64    `json:"uniqueBlocks"`
	Volumes      int64    `json:"volumes"` // made from it, which keep all of it
	Drafts       int64    `json:"drafts"`  // started from it, likewise
	Damaged      []string `json:"damaged,omitempty"`
}

// Size returns the bytes of the snapshot's disk: the size of the imported disk if
// it is known, else the volume's.
func (s Snapshot) Size() int64 {
	if s.VirtualBytes > 0 {
		return s.VirtualBytes
	}
	return s.VolumeSize << 30
}

// Snapshots lists the account's snapshots in order of creation.
func (c *Client) Snapshots(ctx context.Context) (snapshots []Snapshot, err error) {
	snapshots = []Snapshot{} // which --json prints as a list
	for next, first := "", true; first || next != ""; first = false {
		var page struct {
			Snapshots []Snapshot
			Next      string
		}
		if err := c.call(ctx, http.MethodGet, pageAfter("snapshots", next), &page); err != nil {
			return nil, fmt.Errorf("listing snapshots: %w", err)
		}
		snapshots, next = append(snapshots, page.Snapshots...), page.Next
	}
	return snapshots, nil
}

// Snapshot returns one snapshot.
func (c *Client) Snapshot(ctx context.Context, id string) (Snapshot, error) {
	var s Snapshot
	if err := c.call(ctx, http.MethodGet, "snapshots/"+id, &s); err != nil {
		return Snapshot{}, fmt.Errorf("looking up snapshot %s: %w", id, err)
	}
	return s, nil
}

// PageBytes is about how long a page of a manifest is, which has the blocks of 512 MiB of
// a volume.
const PageBytes = 33 << 10

// Measure has the service find out what a snapshot takes of the store, and calls
// progress now and then with how many pages were looked at, and of about how many. It
// ends with ctx.
func (c *Client) Measure(ctx context.Context, id string, progress func(done, total int64)) (Sizes, error) {
	var result struct {
		Sizes
		Error string `json:"error"`
		Code  string `json:"code"`
	}
	err := c.follow(ctx, http.MethodGet, "snapshots/"+id+"/sizes", &result, progress)
	switch {
	case err != nil:
	case result.Code == "NoSuchSnapshot":
		err = &Error{http.StatusNotFound, result.Code, result.Error}
	case result.Error != "":
		err = errors.New(result.Error)
	}
	if err != nil {
		return Sizes{}, fmt.Errorf("measuring snapshot %s: %w", id, err)
	}
	return result.Sizes, nil
}

// Delete deletes a snapshot.
func (c *Client) Delete(ctx context.Context, id string) error {
	if err := c.query(ctx, ec2, "DeleteSnapshot", url.Values{"SnapshotId": {id}}, nil); err != nil {
		return fmt.Errorf("deleting snapshot %s: %w", id, err)
	}
	return nil
}

// Freed is what a collection freed.
type Freed struct {
	Blocks int64 `json:"blocks"`
	Files  int64 `json:"files"`
	Bytes  int64 `json:"bytes"`

	Quarantined []string `json:"quarantined,omitempty"` // files that the database does not know
	Damaged     []string `json:"damaged,omitempty"`     // what was kept and why
	Implausible string   `json:"implausible,omitempty"` // why unknown files were left alone
}

// CollectGarbage has the service free what nothing references.
func (c *Client) CollectGarbage(ctx context.Context) (Freed, error) {
	var f Freed
	if err := c.call(ctx, http.MethodPost, "gc", &f); err != nil {
		return Freed{}, fmt.Errorf("collecting garbage: %w", err)
	}
	return f, nil
}
