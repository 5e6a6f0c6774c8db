package client

import (
	"context"
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
	ImportTaskID string            `json:"importTaskId,omitempty"`
	VolumeSize   int64             `json:"volumeSize"`   // GiB
	VirtualBytes int64             `json:"virtualBytes"` // of the imported disk
	DataBytes    int64             `json:"dataBytes"`    // blocks it is made of, before sharing
	StoredBytes  int64             `json:"storedBytes"`  // that its import added
	Blocks       int64             `json:"blocks"`
	Encrypted    bool              `json:"encrypted"`
	KMSKeyARN    string            `json:"kmsKeyArn,omitempty"`
	Message      string            `json:"message,omitempty"` // why it is in error
	Tags         map[string]string `json:"tags,omitempty"`
	StartedAt    time.Time         `json:"startedAt"`
	CompletedAt  *time.Time        `json:"completedAt,omitempty"`
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

// Delete deletes a snapshot.
func (c *Client) Delete(ctx context.Context, id string) error {
	if err := c.query(ctx, ec2, "DeleteSnapshot", url.Values{"SnapshotId": {id}}, nil); err != nil {
		return fmt.Errorf("deleting snapshot %s: %w", id, err)
	}
	return nil
}

// Verified is the outcome of reading a snapshot back.
type Verified struct {
	SnapshotID string `json:"snapshotId"`
	OK         bool   `json:"ok"`
	Blocks     int64  `json:"blocks"`
	Error      string `json:"error,omitempty"` // what is damaged, when not OK
}

// Verify has the service read every block of a snapshot and check it. progress is
// called with how many blocks were read, and of how many.
func (c *Client) Verify(ctx context.Context, id string, progress func(done, total int64)) (Verified, error) {
	result := Verified{SnapshotID: id}
	if err := c.watch(ctx, "snapshots/"+id+"/verify", &result, progress); err != nil {
		return Verified{}, fmt.Errorf("verifying snapshot %s: %w", id, err)
	}
	return result, nil
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
