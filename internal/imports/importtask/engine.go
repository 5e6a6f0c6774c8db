package importtask

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Engine has the jobs of an import: plan, range, publish, cleanup. Its fields are
// set before the first job.
type Engine struct {
	Store   Store
	Drafts  RangePages
	Work    work.Store
	Sources Releaser
	Images  Images
	Roles   Roles
	Domains Domains
	Records interface {
		Get(ctx context.Context, snapshot string) (snapshot.Record, error)
	}
	Library *snapshot.Library
	IDs     awsid.Source
	Now     func() time.Time

	FreeSpace func() (int64, error) // bytes that imports may still store
	Workers   *ingest.Workers       // windows in work at a time
	Target    int64                 // source bytes of a range; 0 = ingest's default

	Wake  func()          // wakes claimers for new units
	Ended func(id string) // told of every task that ended here

	disks disks
}

// Close gives back what finished jobs left for the next.
func (e *Engine) Close() error {
	e.disks.close()
	return nil
}

// Releaser lets pinned sources go.
type Releaser interface {
	Release(ctx context.Context, p source.Pin) error
}

const pageBytes = snapshot.PageBlocks * block.Size

// Jobs returns what the runner does for each kind of unit.
func (e *Engine) Jobs() map[work.Kind]Job {
	e.disks.open = e.open
	return map[work.Kind]Job{
		work.Plan:    e.plan,
		work.Range:   e.ingest,
		work.Publish: e.publish,
		work.Cleanup: e.cleanup,
	}
}

// plan opens the image, checks what can be checked, and cuts it into ranges. A
// single range it goes on with itself; several are for the lanes of ranges.
func (e *Engine) plan(ctx context.Context, h *Held) (next work.Lease, ok bool, err error) {
	t, err := e.Store.Get(ctx, h.Account, h.Task)
	if err != nil {
		return next, false, err
	}
	if err := e.Store.SetPhase(ctx, h.Lease, Validating, t.Format); err != nil {
		return next, false, err
	}
	image, err := e.disks.acquire(ctx, t)
	if err != nil {
		return next, false, err
	}
	defer e.disks.release(image)
	disk, about := image.disk, describe(image.disk)
	if err := e.Images.accept(about); err != nil {
		return next, false, err
	}
	format := formatOf(about)
	if err := e.Store.SetPhase(ctx, h.Lease, Validated, format); err != nil {
		return next, false, err
	}
	ranges, err := ingest.Plan(ctx, disk, ingest.PlanOptions{PageBytes: pageBytes, Target: e.Target})
	if err != nil {
		return next, false, err
	}
	if err := e.checkSpace(ranges); err != nil {
		return next, false, err
	}
	id := e.IDs.Snapshot()
	domain, dataKey, err := e.domain(ctx, t, id)
	if err != nil {
		return next, false, err
	}
	plan := Plan{Format: format, Virtual: disk.Size(), Ranges: ranges, Warnings: about.Warnings, KMSKey: domain.KMSKey, Snapshot: snapshot.Record{
		ID: id, Account: t.Account, Domain: domain.ID, DataKey: dataKey, Task: t.ID, Description: t.Description,
		State: snapshot.Pending, VirtualSize: disk.Size(), VolumeSize: volumeGiB(disk.Size()), StartedAt: e.Now(),
		Tags: t.SnapshotTags,
	}}
	next, err = e.Store.Planned(ctx, h.Lease, plan)
	if err != nil || len(ranges) <= 1 {
		return next, err == nil, err
	}
	if err := e.Work.Release(ctx, next, e.Now()); err != nil {
		h.Log.Warn("giving the first range to the others; they claim it when its lease lapses", "error", err)
	}
	e.Wake()
	return work.Lease{}, false, nil
}

// volumeGiB returns the size of the volume that holds a disk.
func volumeGiB(n int64) int64 { return max(1, (n+1<<30-1)>>30) }

// open opens the task's image and the object that it reads.
func (e *Engine) open(ctx context.Context, t Task) (diskimage.Disk, source.Object, error) {
	pin, err := source.ParsePin(t.Pin)
	if err != nil {
		return nil, nil, err
	}
	return e.Images.open(ctx, pin, t.Format)
}

// checkSpace refuses a plan that the store has no room for. It counts all data
// as new: what is stored already, or zero, is only known when it was read.
func (e *Engine) checkSpace(rs []Range) error {
	var need int64
	for _, r := range rs {
		need += r.Bytes
	}
	free, err := e.FreeSpace()
	if err != nil {
		return err
	}
	if free < need {
		return &FullError{Need: need, Free: max(0, free)}
	}
	return nil
}

// ingest does one range.
func (e *Engine) ingest(ctx context.Context, h *Held) (next work.Lease, ok bool, err error) {
	t, err := e.Store.Get(ctx, h.Account, h.Task)
	if err != nil {
		return next, false, err
	}
	if h.Range >= len(t.Ranges) {
		return next, false, fmt.Errorf("task %s has no range %d of %d", t.ID, h.Range, len(t.Ranges))
	}
	if err := e.Store.SetPhase(ctx, h.Lease, Converting, t.Format); err != nil {
		return next, false, err
	}
	written, err := e.write(ctx, h, t, t.Ranges[h.Range])
	if err != nil {
		return next, false, err
	}
	counts := h.counts() // with what Finish made of them
	counts.Stored += written.PagesBytes
	return e.Store.FinishRange(ctx, h.Lease, RangeResult{
		Packs: written.Packs, PagesFile: written.PagesFile, PagesBytes: written.PagesBytes, Pages: written.Pages, Counts: counts,
	})
}

// write ingests range r and returns when its blocks and pages are durable.
func (e *Engine) write(ctx context.Context, h *Held, t Task, r Range) (snapshot.Written, error) {
	image, err := e.disks.acquire(ctx, t)
	if err != nil {
		return snapshot.Written{}, err
	}
	defer e.disks.release(image)
	rec, err := e.Records.Get(ctx, t.SnapshotID)
	if err != nil {
		return snapshot.Written{}, err
	}
	domain, keys, err := e.Domains.Open(ctx, rec.Domain)
	if err != nil {
		return snapshot.Written{}, err
	}
	w := e.Library.NewRangeWriter(ctx, h.Lease, snapshot.Range{First: r.First, Pages: r.Pages, Domain: domain, Keys: keys})
	h.Watch(func() Counts {
		s := w.Stats()
		return Counts{Data: s.Blocks, Deduplicated: s.Deduplicated, Stored: s.Stored}
	})
	err = ingest.Run(ctx, image.disk, r, w, ingest.Options{PageBytes: pageBytes, Workers: e.Workers, Progress: h.Count})
	if err == nil {
		err = image.object.Check() // before what was read is believed
	}
	if err != nil {
		w.Abort()
		return snapshot.Written{}, err
	}
	return w.Finish(ctx)
}

// publish writes the root and makes the snapshot visible.
func (e *Engine) publish(ctx context.Context, h *Held) (next work.Lease, ok bool, err error) {
	t, err := e.Store.Get(ctx, h.Account, h.Task)
	if err != nil {
		return next, false, err
	}
	if err := e.Store.SetPhase(ctx, h.Lease, Completing, t.Format); err != nil {
		return next, false, err
	}
	pages, err := e.Drafts.RangePages(ctx, t.SnapshotID)
	if err != nil {
		return next, false, err
	}
	rec, err := e.Records.Get(ctx, t.SnapshotID)
	if err != nil {
		return next, false, err
	}
	if _, _, err := e.Domains.Open(ctx, rec.Domain); err != nil {
		return next, false, err // nobody could read it
	}
	root, err := e.Library.WriteRoot(ctx, h.Lease, rec, pages)
	if err != nil {
		return next, false, err
	}
	if err := e.Store.Publish(ctx, h.Lease, Published{Root: root.File, RootBytes: root.Bytes, Blocks: root.Blocks}); err != nil {
		return next, false, err
	}
	e.over(ctx, t, h.Log)
	return next, false, nil
}

// cleanup ends a task that failed or was cancelled. Its files have rows that no
// lease owns any more; gc removes both.
func (e *Engine) cleanup(ctx context.Context, h *Held) (next work.Lease, ok bool, err error) {
	t, err := e.Store.Get(ctx, h.Account, h.Task)
	if err != nil {
		return next, false, err
	}
	if err := e.Store.CleanedUp(ctx, h.Lease); err != nil {
		return next, false, err
	}
	e.over(ctx, t, h.Log)
	return next, false, nil
}

// over lets the source go and tells those who wait. The task has ended already:
// a pin that stays behind is swept at the next start.
func (e *Engine) over(ctx context.Context, t Task, log *slog.Logger) {
	e.disks.drop(t.ID)
	if pin, err := source.ParsePin(t.Pin); err == nil {
		if err := e.Sources.Release(context.WithoutCancel(ctx), pin); err != nil {
			log.Warn("releasing the source", "error", err)
		}
	}
	e.Ended(t.ID)
	e.Wake()
}
