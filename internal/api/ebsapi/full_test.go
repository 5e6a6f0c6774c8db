package ebsapi

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"

	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// full is a store of drafts on a disk that is full while full is set.
type full struct {
	snapshot.DraftStore
	full *bool
}

// Publish implements snapshot.Settling.
func (f full) Publish(ctx context.Context, l work.Lease, m snapshot.Manifest) error {
	if *f.full {
		return fmt.Errorf("publishing: %w", &space.FullError{Dir: "/data", Need: 64 << 20, Free: 3 << 20})
	}
	return f.DraftStore.Publish(ctx, l, m)
}

// TestFullDisk: what would store more is refused, by name; a snapshot that is complete
// waits, since what was acknowledged is there.
func TestFullDisk(t *testing.T) {
	b := newBench(t)
	isFull := false
	b.drafts.Growth = func() error {
		if isFull {
			return &space.FullError{Dir: "/data", Need: 64 << 20, Free: 3 << 20}
		}
		return nil
	}
	b.drafts.Store = full{b.db.Snapshots(), &isFull}
	blocks := map[int32]string{0: "kept", 7: "kept too"}
	id := b.start(1, nil)
	b.write(id, blocks)

	isFull = true
	if got := code(b.put(id, 1, "refused")); got != "ServiceQuotaExceededException" {
		t.Errorf("PutSnapshotBlock: %s", got)
	}
	_, err := b.StartSnapshot(t.Context(), &ebs.StartSnapshotInput{VolumeSize: aws.Int64(1)})
	if got := code(err); got != "ServiceQuotaExceededException" {
		t.Errorf("StartSnapshot: %s", got)
	}
	b.complete(b.drafts, id, blocks)
	later, node := time.Now(), b.drafts
	r := &work.Runner{Owner: node.Owner, Store: b.db.Work(), Handlers: node.Handlers(), Bus: &wake.Bus{}, Log: b.f.Log, Now: func() time.Time { return later }}
	try := func() {
		t.Helper()
		later = later.Add(time.Minute)
		if ok, err := r.Step(t.Context(), work.Complete); !ok || err != nil {
			t.Fatalf("nothing waits: %v", err)
		}
	}
	for range 2 * work.MaxFailures {
		try()
	}
	if s := b.state(id).State; s != snapshot.Pending {
		t.Errorf("a snapshot that can't be published for want of space is %s, want it pending", s)
	}
	isFull = false
	try()
	b.same(id, blocks)
}
