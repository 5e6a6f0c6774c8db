package importtask

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// Engine does the units of imports: plan, range, publish, cleanup. Its fields are
// set before the first job.
type Engine struct {
	Store   Store
	Pages   RangePages
	Work    work.Store
	Sources interface {
		Releaser
		PinSweeper
	}
	Images  Images
	Roles   Roles
	Domains snapshot.Domains
	Records interface {
		Get(ctx context.Context, region, snapshot string) (snapshot.Record, error)
	}
	Library *snapshot.Library
	IDs     awsid.Source
	Now     func() time.Time
	Aged    func() time.Time // by which tasks are forgotten, which may be behind Now; nil: Now

	FreeSpace func() (int64, error) // bytes that imports may still store
	Space     Space
	Workers   *ingest.Workers // windows in work at a time
	Target    int64           // source bytes of a range; 0 = ingest's default
	Slice     ingest.Slice    // of a range that is done at a time; PageBytes is not used

	Bus  *wake.Bus // of claimers, and of callers that wait for a task
	Live *Live     // what this node is doing

	// Owner names this node, as in its leases, where Affinities say what it has unpacked.
	// Nil: there are no other nodes.
	Owner      string
	Affinities work.Affinities

	Metrics *Metrics // nil: nothing is counted

	disks   disks
	orphans orphans
	after   func(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) // tests say when; nil: the clock
}

// Close closes the images that finished jobs left open for the next.
func (e *Engine) Close() error {
	e.disks.close()
	return nil
}

// Space says whether more may be stored. space.Guard implements it.
type Space interface {
	// Growth returns nil if it may, else an error that wraps space.ErrFull.
	Growth() error
	// Shortage returns the error of what found no room for this many bytes.
	Shortage(need int64) *space.FullError
}

// Releaser lets pinned sources go.
type Releaser interface {
	Release(ctx context.Context, p source.Pin) error
}

const pageBytes = snapshot.PageBlocks * block.Size

// How long ended tasks are kept, as at AWS, and how often that is checked.
const (
	retention   = 7 * 24 * time.Hour
	retainEvery = time.Hour
)

// Handlers returns what a runner does with the units of imports.
func (e *Engine) Handlers() map[work.Kind]work.Handler {
	imports := func(do work.Job) work.Handler {
		return work.Handler{Do: do, Final: final, Missing: missing, Away: away, Tell: Told, Fail: e.fail}
	}
	return map[work.Kind]work.Handler{
		work.Plan:    imports(e.plan),
		work.Survey:  imports(e.survey),
		work.Unpack:  imports(e.unpack),
		work.Range:   imports(e.ingest),
		work.Publish: imports(e.publish),
		work.Cleanup: {Do: e.cleanup, Tell: Told},
		work.Retain:  {Do: e.retain, Every: retainEvery},
	}
}

func final(err error) bool {
	_, final := FailureOf(err)
	return final
}

// missing returns what a unit may wait for. A plan that needs more room than there is
// does not: it would find out an hour later.
func missing(err error) (what string, ok bool) {
	if crowded := (*work.StraysError)(nil); errors.As(err, &crowded) {
		return "decoders: " + crowded.Error(), true
	}
	var planned *FullError
	var unpacked *scratch.FullError
	if errors.As(err, &unpacked) && unpacked.Others > 0 {
		return "space to unpack: " + unpacked.Missing(), true // the others give it back
	}
	if errors.As(err, &planned) || errors.As(err, &unpacked) {
		return "", false
	}
	return work.Space(err)
}

// fail moves the task to its cleanup, and hands that unit over.
func (e *Engine) fail(ctx context.Context, l work.Lease, cause error) (next work.Lease, ok bool, err error) {
	f, _ := FailureOf(cause)
	if whole := WholeOf(l.Task); whole != l.Task {
		t, err := e.Store.OfUnit(ctx, l.Unit)
		if err != nil {
			return next, false, err
		}
		f.Message += " (disk " + diskName(t) + ")"
	}
	next, err = e.Store.Fail(ctx, l, f)
	if err != nil {
		return next, false, err
	}
	topics := []wake.Topic{wake.Task(next.Task)}
	if next.Task != l.Task { // the jobs of the other disks end, too
		parts, _, err := e.parts(ctx, next.Unit)
		if err != nil {
			return next, true, nil //nolint:nilerr // they end with the next heartbeats
		}
		for _, d := range parts {
			topics = append(topics, wake.Units(d.ID))
		}
	}
	e.Bus.Wake(topics...)
	return next, true, nil
}

// diskName names a disk of an image for people: "2 data.vmdk".
func diskName(t Task) string {
	_, name, _ := strings.Cut(t.ID, "/")
	switch pin, err := source.ParsePin(t.Pin); {
	case t.Member != "":
		name += " " + printable(path.Base(t.Member))
	case err == nil:
		name += " " + printable(nameOf(pin))
	}
	return name
}

// How long the plan of an image that can be read where it is may take: a moment, in the
// lane of plans, and in a lane for those that take longer. There a plan that takes longer
// still has failed, since it keeps others waiting too.
const (
	planFor   = 10 * time.Second
	surveyFor = time.Hour
)

// plan plans an image whose tables can be read at once. An image that has to be unpacked
// first, or whose source is slow, takes long, so it goes to another lane.
func (e *Engine) plan(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	next, ok, err = e.makePlan(ctx, h, e.asItIs, planFor)
	stuck := (*work.StuckError)(nil)
	switch {
	case errors.As(err, &stuck): // it would be as stuck there
	case errors.Is(err, errSlow):
		err = e.move(ctx, h.Lease, work.Survey)
	case errors.Is(err, errPacked):
		err = e.move(ctx, h.Lease, work.Unpack)
	}
	return next, ok, err
}

// survey plans an image whose tables take long to read.
func (e *Engine) survey(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	next, ok, err = e.makePlan(ctx, h, e.asItIs, surveyFor)
	if errors.Is(err, errPacked) {
		err = e.move(ctx, h.Lease, work.Unpack)
	}
	return next, ok, err
}

// unpack plans an image that has to be unpacked. When there is a plan already, but what
// was unpacked is gone, it unpacks the image for its ranges, and gives the unit back to
// their lanes.
func (e *Engine) unpack(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	t, err := e.Store.OfUnit(ctx, h.Unit)
	if err != nil {
		return next, false, err
	}
	if len(t.Ranges) == 0 {
		next, ok, err = e.makePlan(ctx, h, e.unpacked, 0)
		return next, ok, e.shortOfScratch(err, t.SourceBytes)
	}
	if err := e.Space.Growth(); err != nil {
		return next, false, e.short(err, t.SourceBytes)
	}
	image, err := e.unpacked(ctx, t)
	if full := (*scratch.FullError)(nil); errors.As(err, &full) && full.Others == 0 {
		return next, false, e.Space.Shortage(t.SourceBytes) // there was room before the plan, so it may return
	}
	if err != nil {
		return next, false, err
	}
	e.disks.release(image)
	return next, false, e.move(ctx, h.Lease, work.Range)
}

// shortOfScratch is short for an image that found no room to be unpacked. If it is the disk
// that has become full, that passes.
func (e *Engine) shortOfScratch(err error, need int64) error {
	full, ok := errors.AsType[*scratch.FullError](err)
	if !ok || full.Others > 0 || full.Quota > 0 || e.Space.Growth() == nil {
		return err
	}
	return e.Space.Shortage(need)
}

// move gives a unit to the lanes of another kind.
func (e *Engine) move(ctx context.Context, l work.Lease, kind work.Kind) error {
	if err := e.Work.Release(ctx, l, kind, e.Now()); err != nil {
		return err
	}
	e.Bus.Wake(work.Due(kind))
	return nil
}

// smallRange is the largest range, in source bytes, that a plan's job goes on with:
// small enough for the next unit in the lane not to wait for long.
const smallRange = 64 << 20

// enter has the task of a unit be in a phase, and wakes those that watch it.
func (e *Engine) enter(ctx context.Context, l work.Lease, p Phase, format string) error {
	err := e.Store.SetPhase(ctx, l, p, format)
	if err == nil {
		e.Bus.Wake(wake.Task(WholeOf(l.Task)))
	}
	return err
}

// makePlan opens the image, checks what can be checked, and cuts it into ranges. It
// goes on with a single small range; all others are for the lanes of ranges. While
// nothing more may be stored it waits: how much room there will be is not known yet. If
// the image takes longer than limit to look at, 0 for none, it returns errSlow.
func (e *Engine) makePlan(ctx context.Context, h *work.Held, open func(context.Context, Task) (use, error), limit time.Duration) (next work.Lease, ok bool, err error) {
	t, err := e.Store.OfUnit(ctx, h.Unit)
	if err != nil {
		return next, false, err
	}
	if err := e.Space.Growth(); err != nil {
		return next, false, e.short(err, t.SourceBytes)
	}
	if err := e.enter(ctx, h.Lease, Validating, t.Format); err != nil {
		return next, false, err
	}
	looking, done := e.limit(ctx, limit)
	defer done()
	if err := e.split(looking, h.Lease, &t); err != nil {
		return next, false, slow(looking, err)
	}
	image, err := open(looking, t)
	if err != nil {
		return next, false, slow(looking, err)
	}
	defer e.disks.release(image)
	disk, about := image.disk, describe(image.disk)
	if err := e.Images.accept(about, t.ImageTask != ""); err != nil {
		return next, false, err
	}
	format := formatOf(about)
	if err := e.enter(ctx, h.Lease, Validated, format); err != nil {
		return next, false, err
	}
	ranges, err := e.ranges(looking, image)
	if err != nil {
		return next, false, slow(looking, err)
	}
	if err := e.checkSpace(ctx, h.Unit, ranges); err != nil {
		return next, false, err
	}
	id := e.IDs.Snapshot()
	domain, dataKey, err := e.domain(ctx, t, id)
	if err != nil {
		return next, false, err
	}
	// Making the plan walked the image's tables, which may have added warnings.
	plan := Plan{Format: format, Virtual: disk.Size(), Ranges: ranges, Warnings: describe(disk).Warnings, KMSKey: domain.KMSKey, Snapshot: snapshot.Record{
		ID: id, Account: t.Account, Region: t.Region, Domain: domain.ID, DataKey: dataKey, Task: t.ID, Description: t.Description, SourceName: t.Disk(),
		State: snapshot.Pending, VirtualSize: disk.Size(), VolumeSize: volumeGiB(disk.Size()), StartedAt: e.Now(),
		Tags: t.SnapshotTags,
	}}
	next, ok, err = e.Store.Planned(ctx, h.Lease, plan)
	if err != nil || len(ranges) == 0 || len(ranges) == 1 && ranges[0].Bytes <= smallRange {
		return next, ok, err
	}
	if err := e.Work.Release(ctx, next, work.Range, e.Now()); err != nil {
		h.Log.Warn("giving the first range to the others; they claim it when its lease lapses", logkey.Error, err)
	}
	e.Bus.Wake(work.Due(work.Range))
	return work.Lease{}, false, nil
}

// ranges cuts the disk of an image into ranges, which reads its tables.
func (e *Engine) ranges(ctx context.Context, image use) ([]Range, error) {
	reading, done := e.limit(ctx, surveyFor) // that of an unpacked disk has no other
	defer done()
	ranges, err := work.Within(reading, e.Images.Strays, "reading the tables of the image", func() ([]Range, error) {
		return ingest.Plan(reading, image.disk, ingest.PlanOptions{PageBytes: pageBytes, Target: e.Target})
	})
	return ranges, slow(reading, notStuck(image.object, err))
}

// split looks whether the source of a disk of a machine image is an OVA, and gives each of
// the disks in that a task; t is then that of the first.
func (e *Engine) split(ctx context.Context, l work.Lease, t *Task) error {
	if t.ImageTask == "" || t.Member != "" {
		return nil
	}
	pin, err := source.ParsePin(t.Pin)
	if err != nil {
		return err
	}
	c, ok, err := e.Images.contents(ctx, pin, t.Format)
	if err != nil || !ok {
		return err
	}
	if err := e.Store.Split(ctx, l, machineOf(c), c.Disks); err != nil {
		return err
	}
	e.Bus.Wake(work.Due(work.Plan))
	t.Member = c.Disks[0]
	return nil
}

// volumeGiB returns the size of the volume that holds a disk.
func volumeGiB(n int64) int64 { return max(1, (n+1<<30-1)>>30) }

// errSlow reports an image that takes too long to look at.
var errSlow = errors.New("importtask: the tables of the image could not be read in time")

// limit bounds ctx by a duration, if there is one; what it ends fails with errSlow.
func (e *Engine) limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	switch {
	case d == 0:
		return context.WithCancel(ctx)
	case e.after != nil:
		return e.after(ctx, d)
	}
	return context.WithTimeoutCause(ctx, d, errSlow)
}

// slow returns errSlow, with err, if that is what ended ctx.
func slow(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return errors.Join(errSlow, err)
	}
	return err
}

// unpacked opens the image of a task, and unpacks it if need be. Its ranges are for this
// node then.
func (e *Engine) unpacked(ctx context.Context, t Task) (use, error) {
	image, err := e.disks.unpack(ctx, t, func(ctx context.Context, t Task) (diskimage.Disk, source.Object, error) {
		return openTask(ctx, e.Images, t)
	})
	if err != nil || e.Affinities == nil || !image.unpacked() {
		return image, err
	}
	if _, err := e.Affinities.Keep(ctx, e.Owner, e.Now(), t.ID); err != nil {
		e.disks.release(image)
		return use{}, err
	}
	return image, nil
}

// Run keeps the ranges of images that are unpacked on this node for it, until ctx ends. It
// returns at once if there are no other nodes.
func (e *Engine) Run(ctx context.Context) {
	if e.Affinities == nil {
		return
	}
	var kept []string
	for range wake.Every(ctx, work.Heartbeat) {
		kept = e.keep(ctx, kept)
	}
	over, done := context.WithTimeout(context.WithoutCancel(ctx), work.Heartbeat)
	defer done()
	e.letGo(over, kept)
}

// keep keeps what is unpacked now for this node, and lets others have the ranges of what
// was and is not any more. An image that another node has unpacked meanwhile, since this
// one was not heard of for too long, is dropped here.
func (e *Engine) keep(ctx context.Context, was []string) []string {
	mine := e.disks.unpackedNow()
	e.letGo(ctx, slices.DeleteFunc(was, func(task string) bool { return slices.Contains(mine, task) }))
	if len(mine) == 0 {
		return nil
	}
	kept, err := e.Affinities.Keep(ctx, e.Owner, e.Now(), mine...)
	if err != nil {
		return mine // if the database is away for longer, other nodes unpack for themselves
	}
	for _, task := range mine {
		if !slices.Contains(kept, task) {
			e.disks.drop(task)
		}
	}
	return kept
}

// letGo lets other nodes have the ranges of tasks. If that fails they wait until this
// node's affinity lapses.
func (e *Engine) letGo(ctx context.Context, tasks []string) {
	if len(tasks) == 0 || e.Affinities.Drop(ctx, e.Owner, e.Now(), tasks...) != nil {
		return
	}
	e.Bus.Wake(work.Due(work.Range), work.Due(work.Unpack))
}

// asItIs opens the image of a task; one that is not unpacked on this node, but has to
// be, is errPacked.
func (e *Engine) asItIs(ctx context.Context, t Task) (use, error) {
	return e.disks.acquire(ctx, t, func(ctx context.Context, t Task) (diskimage.Disk, source.Object, error) {
		images := e.Images
		images.Scratch = noScratch{}
		return openTask(ctx, images, t)
	})
}

func openTask(ctx context.Context, images Images, t Task) (diskimage.Disk, source.Object, error) {
	pin, err := source.ParsePin(t.Pin)
	if err != nil {
		return nil, nil, err
	}
	return images.open(ctx, pin, content{t.Format, t.Member})
}

// errPacked reports an image that has to be unpacked before it can be read.
var errPacked = errors.New("importtask: the image has to be unpacked")

// noScratch refuses scratch room, for an open that must not take long.
type noScratch struct{}

// Create implements diskimage.Scratch.
func (noScratch) Create() (diskimage.ScratchFile, error) { return nil, errPacked }

// checkSpace refuses a plan that the store has no room for, beside what is left to do of
// the image's other disks. It counts all data as new, since only reading it tells what is
// stored already, or zero.
func (e *Engine) checkSpace(ctx context.Context, u work.Unit, rs []Range) error {
	need := Task{Ranges: rs}.Bytes()
	if WholeOf(u.Task) != u.Task {
		whole, err := e.Store.ImageOfUnit(ctx, u)
		if err != nil {
			return err
		}
		for _, d := range whole.Disks {
			need += max(0, d.Bytes()-d.Counts.Done)
		}
	}
	free, err := e.FreeSpace()
	if err != nil {
		return err
	}
	if free >= need {
		return nil
	}
	if err := e.Space.Growth(); err != nil { // the disk has filled since the plan began
		return e.short(err, need)
	}
	return &FullError{Need: need, Free: max(0, free)}
}

// ingest does the next slice of a range. A range of a large disk has many; each is
// registered by itself, so neither transactions nor memory grow with the disk, and a
// range that is interrupted goes on where its last slice ended. It does not begin while
// nothing more may be stored: reading the source would be in vain.
func (e *Engine) ingest(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	t, err := e.Store.OfUnit(ctx, h.Unit)
	if err != nil {
		return next, false, err
	}
	if h.Range >= len(t.Ranges) {
		return next, false, fmt.Errorf("task %s has no range %d of %d", t.ID, h.Range, len(t.Ranges))
	}
	if t.Phase == Converting {
		err = e.Store.SetPhase(ctx, h.Lease, Converting, t.Format)
	} else {
		err = e.enter(ctx, h.Lease, Converting, t.Format)
	}
	if err != nil {
		return next, false, err
	}
	if err := e.Space.Growth(); err != nil {
		return next, false, e.short(err, t.Ranges[h.Range].Bytes)
	}
	m := e.Live.begin(t.ID, h.Reached, func() { e.Bus.Wake(wake.Task(WholeOf(t.ID))) })
	defer e.Live.end(m)
	h.Report(m)
	written, done, err := e.write(ctx, h.Lease, m, t)
	if errors.Is(err, errPacked) { // after a restart: the other ranges wait for it too
		return next, false, e.move(ctx, h.Lease, work.Unpack)
	}
	if err != nil {
		return next, false, e.short(err, t.Ranges[h.Range].Bytes)
	}
	counts := m.counts() // with what Finish made of them
	counts.Stored += written.PagesBytes
	r := RangeResult{Packs: written.Packs, PagesFile: written.PagesFile, PagesBytes: written.PagesBytes, Pages: written.Pages, Counts: counts}
	if done < t.Ranges[h.Range].Pages {
		if err = e.Store.FinishSlice(ctx, h.Lease, r, done); err == nil {
			e.Bus.Wake(work.Due(work.Range)) // it may be another node's turn
		}
	} else {
		next, ok, err = e.Store.FinishRange(ctx, h.Lease, r)
	}
	if err == nil {
		e.Metrics.finished(counts)
	}
	return next, ok, err
}

// short says how many bytes may be needed, if err says that there was too little room.
func (e *Engine) short(err error, need int64) error {
	if !space.IsFull(err) {
		return err
	}
	return errors.Join(e.Space.Shortage(need), err)
}

// write ingests the next slice of the range of the lease. It returns when the slice's
// blocks and pages are durable, and how many pages of the range are done with it.
func (e *Engine) write(ctx context.Context, l work.Lease, m *meter, t Task) (out snapshot.Written, done int64, err error) {
	image, err := e.asItIs(ctx, t)
	if err != nil {
		return out, 0, err
	}
	defer e.disks.release(image)
	rec, err := e.Records.Get(ctx, t.Region, t.SnapshotID)
	if err != nil {
		return out, 0, err
	}
	domain, keys, err := e.Domains.Open(ctx, rec.Domain)
	if err != nil {
		return out, 0, err
	}
	slice := e.Slice
	slice.PageBytes = pageBytes
	r, done, err := e.next(ctx, slice, image, t.Ranges[l.Range], l.Done)
	if err != nil {
		return out, 0, err
	}
	w := e.Library.NewRangeWriter(ctx, l, snapshot.Range{First: r.First, Pages: r.Pages, Domain: domain, Keys: keys})
	m.watch(func() Counts {
		s := w.Stats()
		return Counts{Data: s.Blocks, Deduplicated: s.Deduplicated, Stored: s.Stored}
	})
	err = ingest.Run(ctx, image.disk, r, w, ingest.Options{
		PageBytes: pageBytes, Workers: e.Workers, Gather: isFar(t) && !image.key.unpacked, Progress: m.add,
	})
	if err == nil {
		err = image.object.Check() // before what was read counts
	}
	if err != nil {
		w.Abort()
		return out, 0, notStuck(image.object, err)
	}
	out, err = w.Finish(ctx)
	return out, done, err
}

// isFar reports whether each read of a task's source is a request to a server.
func isFar(t Task) bool {
	pin, err := source.ParsePin(t.Pin)
	return err == nil && pin.Kind == source.Foreign
}

// next returns the next slice of a range, as Slice.Next does.
func (e *Engine) next(ctx context.Context, slice ingest.Slice, image use, r Range, from int64) (Range, int64, error) {
	type cut struct {
		part  Range
		after int64
	}
	reading, done := e.limit(ctx, surveyFor)
	defer done()
	c, err := work.Within(reading, e.Images.Strays, "reading the tables of the image", func() (c cut, err error) {
		c.part, c.after, err = slice.Next(reading, image.disk, r, from)
		return c, err
	})
	return c.part, c.after, slow(reading, notStuck(image.object, err))
}

// parts returns the tasks that a unit is about: one, or those of all disks of an image,
// whose task is returned too.
func (e *Engine) parts(ctx context.Context, u work.Unit) ([]Task, *ImageTask, error) {
	if awsid.IsImageTask(u.Task) {
		i, err := e.Store.ImageOfUnit(ctx, u)
		return i.Disks, &i, err
	}
	t, err := e.Store.OfUnit(ctx, u)
	return []Task{t}, nil, err
}

// publish writes the roots and makes the snapshots visible, and the image that they make.
func (e *Engine) publish(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	parts, whole, err := e.parts(ctx, h.Unit)
	if err != nil {
		return next, false, err
	}
	if err := e.enter(ctx, h.Lease, Completing, ""); err != nil {
		return next, false, err
	}
	var p Published
	for _, t := range parts {
		root, err := e.writeRoot(ctx, h.Lease, t)
		if err != nil {
			return next, false, err
		}
		p.Roots = append(p.Roots, root)
	}
	if whole != nil {
		if p.Image, err = e.register(ctx, *whole); err != nil {
			return next, false, err
		}
	}
	if err := e.ended(ctx, h.Unit, Completed, e.Store.Publish(ctx, h.Lease, p)); err != nil {
		return next, false, err
	}
	e.Metrics.completed(len(parts))
	for _, t := range parts {
		h.Log.Info("imported a disk", logkey.Snapshot, t.SnapshotID, "source", printable(t.Disk()), "format", t.Format,
			"disk_bytes", t.Virtual, "data_bytes", t.Bytes(), "new_bytes", t.Counts.Stored, "seconds", e.Now().Sub(t.CreatedAt).Seconds())
	}
	e.over(ctx, h.Task, parts, h.Log)
	return next, false, nil
}

// writeRoot writes the root of a task's snapshot.
func (e *Engine) writeRoot(ctx context.Context, l work.Lease, t Task) (Root, error) {
	pages, err := e.Pages.RangePages(ctx, t.SnapshotID)
	if err != nil {
		return Root{}, err
	}
	rec, err := e.Records.Get(ctx, t.Region, t.SnapshotID)
	if err != nil {
		return Root{}, err
	}
	if _, _, err := e.Domains.Open(ctx, rec.Domain); err != nil {
		return Root{}, err // or it could not be read once it is published
	}
	root, err := e.Library.WriteRoot(ctx, l, rec, pages)
	return Root{Task: t.ID, File: root.File, Bytes: root.Bytes, Blocks: root.Blocks}, err
}

// register returns the record of the image that a task makes.
func (e *Engine) register(ctx context.Context, t ImageTask) (*image.Image, error) {
	m := t.Machine()
	i := &image.Image{
		ID: e.IDs.Image(), Account: t.Account, Region: t.Region, Name: t.ID, Description: t.Spec.Description, Architecture: m.Architecture,
		BootMode: m.BootMode, Virtualization: "hvm", Platform: t.Spec.Platform, UsageOperation: t.Spec.UsageOperation, Created: e.Now(),
	}
	if i.UsageOperation == "" && i.Platform == "Windows" && t.Spec.LicenseType == "BYOL" {
		i.UsageOperation = "RunInstances:0800"
	}
	if i.Description == "" {
		i.Description = snapshot.Record{Task: t.ID}.GeneratedDescription()
	}
	for _, d := range t.Devices() {
		rec, err := e.Records.Get(ctx, t.Region, d.Snapshot())
		if errors.Is(err, snapshot.ErrNotFound) && d.Given != nil {
			err = &image.NoSnapshotError{ID: d.Given.Snapshot}
		}
		if err != nil {
			return nil, err
		}
		i.Devices = append(i.Devices, image.Device{
			Name: d.Name, Snapshot: rec.ID, VolumeSize: rec.VolumeSize, VolumeType: "gp2", DeleteOnTermination: true, Encrypted: rec.KMSKey != "",
		})
	}
	i.RootDevice = i.Devices[0].Name
	return i, nil
}

// cleanup ends a task that failed or was cancelled. Its files have rows that no
// lease owns any more; gc removes both.
func (e *Engine) cleanup(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	parts, _, err := e.parts(ctx, h.Unit)
	if err != nil {
		return next, false, err
	}
	if err := e.ended(ctx, h.Unit, Deleted, e.Store.CleanedUp(ctx, h.Lease)); err != nil {
		return next, false, err
	}
	for _, t := range parts {
		e.Metrics.failed(t.Failure.Reason)
	}
	e.over(ctx, h.Task, parts, h.Log)
	return next, false, nil
}

// ended returns the error of the event that moves the unit's task to its last state, or
// nil if only the answer of the database was lost: what comes after it is to be done.
func (e *Engine) ended(ctx context.Context, u work.Unit, state State, err error) error {
	if !errors.Is(err, work.ErrNoDatabase) {
		return err
	}
	parts, whole, unknown := e.parts(ctx, u)
	switch {
	case unknown != nil:
	case whole != nil && whole.State == state, whole == nil && parts[0].State == state:
		return nil
	}
	return err
}

// over releases the sources and wakes callers that wait for the task. The task has
// ended already, so errors don't matter: a pin that stays behind is swept within
// as many rounds of retain as there are nodes, and one more.
func (e *Engine) over(ctx context.Context, task string, parts []Task, log *slog.Logger) {
	released := map[string]bool{} // disks of one OVA share their source
	for _, t := range parts {
		e.disks.drop(t.ID)
		pin, err := source.ParsePin(t.Pin)
		if err != nil || released[pin.ID] {
			continue
		}
		released[pin.ID] = true
		if err := e.Sources.Release(context.WithoutCancel(ctx), pin); err != nil {
			log.Warn("releasing the source", logkey.Error, err)
		}
	}
	e.Bus.Wake(wake.Task(task), work.Due(work.LetGo))
}

// retain forgets tasks after their retention, and releases pins that have lost their task.
func (e *Engine) retain(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
	now := e.Now
	if e.Aged != nil {
		now = e.Aged
	}
	n, err := e.Store.Forget(ctx, now().Add(-retention))
	if err == nil && n > 0 {
		h.Log.Info("forgot tasks after their retention", "tasks", n)
	}
	return next, false, errors.Join(err, e.orphans.sweep(ctx, e.Store, e.Sources))
}
