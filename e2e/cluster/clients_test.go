package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/diskport/diskport/internal/client"
)

const (
	clients = 4
	// pace is how long a client waits between calls: a cluster is busy enough by that, and a
	// fault that lasts for seconds does not cost as many seconds of all cores.
	pace = 350 * time.Millisecond
	// most is how many snapshots clients let there be, about.
	most = 20
)

// steps are what clients do, and how often.
var steps = []struct {
	share int
	do    func(caller)
}{
	{10, caller.importNew},
	{8, caller.importAgain},
	{10, caller.seeTask},
	{4, caller.seeTasks},
	{3, caller.stop},
	{10, caller.write},
	{5, caller.copy},
	{9, caller.remove},
	{6, caller.share},
	{6, caller.seeShares},
	{8, caller.visit},
	{8, caller.seeSnapshots},
	{8, caller.seeSnapshot},
	{14, caller.read},
	{3, caller.collect},
	{1, caller.compact},
}

// load has clients ask for one thing after another, until ctx ends. It returns once all have
// got their last answer.
func (w *world) load(ctx context.Context, hard context.Context) {
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			c := caller{world: w, id: i + 1, ctx: hard, rng: rand.New(rand.NewPCG(w.seed, uint64(i)))}
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for ctx.Err() == nil {
				c.step()
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	}
	all.Wait()
}

func (c caller) step() {
	total := 0
	for _, s := range steps {
		total += s.share
	}
	n := c.rng.IntN(total)
	for _, s := range steps {
		if n -= s.share; n < 0 {
			s.do(c)
			return
		}
	}
}

// refusal complains of a call that the service refused, but for some codes.
func (c caller) refusal(what string, y call, but ...string) {
	if code := codeOf(y.err); code != "" && c.ctx.Err() == nil && !slices.Contains(but, code) {
		c.wrong("%s was refused: %v", what, y.err)
	}
}

// notFound are the codes for snapshots and tasks that don't exist.
var notFound = []string{"InvalidSnapshot.NotFound", "ResourceNotFoundException", "InvalidConversionTaskId.Malformed", "NoSuchTask"}

// outcome makes an answer of the error of a call.
func outcome(y call, good answer) answer {
	switch {
	case y.err == nil:
		return good
	case y.unanswered():
		return unknown
	case slices.Contains(notFound, codeOf(y.err)):
		return absent
	}
	return refused
}

func (c caller) importNew() {
	i := &importing{image: c.images[c.rng.IntN(len(c.images))], from: c.now()}
	c.do(func() {
		i.token = fmt.Sprintf("import %d", len(c.imports))
		c.imports = append(c.imports, i)
	})
	c.askImport(i)
}

// importAgain asks once more for an import that a client asked for, with its token.
func (c caller) importAgain() {
	var i *importing
	c.do(func() { i = some(c, c.imports, func(*importing) bool { return true }) })
	if i != nil {
		c.askImport(i)
	}
}

func (c caller) askImport(i *importing) {
	in := &ec2.ImportSnapshotInput{
		ClientToken: &i.token, Description: &i.token,
		DiskContainer: &ec2types.SnapshotDiskContainer{Url: aws.String("s3://" + Images + "/" + i.image.key)},
	}
	if i.image.format != "" {
		in.DiskContainer.Format = &i.image.format
	}
	var id string
	y := c.ask("ImportSnapshot", func(ctx context.Context, d door) error {
		out, err := d.ec2.ImportSnapshot(ctx, in)
		if err == nil {
			id = *out.ImportTaskId
		}
		return err
	})
	if y.err != nil {
		c.refusal("ImportSnapshot", y)
		return
	}
	c.same(i.token, &i.id, id)
	c.made(id, i.from, y.to)
}

// same notes what a token was answered with.
func (c caller) same(token string, known *string, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *known != "" && *known != id {
		c.broken = append(c.broken, fmt.Sprintf("token %q was answered with %s, and with %s", token, *known, id))
	}
	*known = id
}

// seeTask looks at a task.
func (c caller) seeTask() {
	var i *importing
	c.do(func() { i = some(c, c.imports, func(i *importing) bool { return i.id != "" }) })
	if i != nil {
		c.seeImport(i)
	}
}

func (c caller) seeImport(i *importing) {
	var task client.Task
	before := 0
	c.do(func() { before = i.ranges })
	y := c.ask("the task", func(ctx context.Context, d door) (err error) {
		task, err = d.own.Task(ctx, i.id)
		return err
	})
	out := outcome(y, answer(task.Status))
	c.refusal("the task", y, notFound...)
	c.noteTask(y, i.id, look, out)
	if y.err != nil {
		return
	}
	if task.Failure != nil && task.Failure.Reason != "cancelled" {
		c.wrong("task %s (%s) failed: %+v", i.id, i.image.key, task.Failure)
	}
	if p := task.Progress; task.Status == "active" && p.RangesDone < before {
		c.wrong("task %s has %d ranges done, and had %d before it was asked", i.id, p.RangesDone, before)
	} else if least := leastPercent(before, p.Ranges); task.Status == "active" && p.Percent < least {
		// What units that go on have done may be shown by the node that does them a heartbeat
		// before others; what ranges that are done have is in the database.
		c.wrong("task %s is at %d%%, and had %d of %d ranges done before it was asked", i.id, p.Percent, before, p.Ranges)
	} else if task.Status == "completed" && p.Percent != 100 || p.Percent > 100 || p.DoneBytes > p.TotalBytes {
		c.wrong("task %s is %s at %d%%, %d of %d bytes", i.id, task.Status, p.Percent, p.DoneBytes, p.TotalBytes)
	}
	c.do(func() {
		i.ranges = max(i.ranges, task.Progress.RangesDone)
		i.ended = i.ended || task.Ended()
		if s := c.snaps[task.SnapshotID]; s != nil && task.Status == "completed" {
			s.completed = true
		}
	})
	if task.Status == "completed" {
		c.see(task.SnapshotID, i.image.content)
		c.made(task.SnapshotID, i.from, y.to)
	}
}

// leastPercent is what some ranges of an image are at least that has them all alike; a percent is
// a whole number, and planning is none of them.
func leastPercent(done, ranges int) int {
	if ranges == 0 {
		return 0
	}
	return max(100*done/ranges-1, 0)
}

// seeTasks lists all tasks.
func (c caller) seeTasks() {
	found := map[string]answer{}
	y := c.ask("DescribeImportSnapshotTasks", func(ctx context.Context, d door) error {
		out, err := d.ec2.DescribeImportSnapshotTasks(ctx, &ec2.DescribeImportSnapshotTasksInput{})
		if err != nil {
			return err
		}
		for _, task := range out.ImportSnapshotTasks {
			found[*task.ImportTaskId] = answer(*task.SnapshotTaskDetail.Status)
		}
		return nil
	})
	c.refusal("DescribeImportSnapshotTasks", y)
	if y.err == nil {
		c.do(func() { c.taskLists = append(c.taskLists, list{c.id, y.from, y.to, found}) })
	}
}

// stop cancels a task.
func (c caller) stop() {
	var i *importing
	c.do(func() {
		i = some(c, c.imports, func(i *importing) bool { return i.id != "" && !i.ended })
		if i != nil && i.stopped == 0 {
			i.stopped = c.now()
		}
	})
	if i == nil {
		return
	}
	y := c.ask("CancelImportTask", func(ctx context.Context, d door) error {
		_, err := d.ec2.CancelImportTask(ctx, &ec2.CancelImportTaskInput{ImportTaskId: &i.id})
		return err
	})
	c.refusal("CancelImportTask", y, "DeleteConversionTaskError")
	c.noteTask(y, i.id, stop, outcome(y, ok))
}

// write begins a snapshot, or goes on with one, and writes some of it.
func (c caller) write() {
	var d *draft
	parent := c.snapshot(func(s *snap) bool { return s.completed && !s.removed })
	c.do(func() {
		d = some(c, c.drafts, func(d *draft) bool { return !d.busy && !d.void && !d.complete })
		if d == nil || c.rng.IntN(2) == 0 {
			d = &draft{token: fmt.Sprintf("draft %d", len(c.drafts)), content: content{}, own: content{}, put: map[int64]bool{}, from: c.now()}
			if parent != nil && c.rng.IntN(2) == 0 {
				d.parent, d.content = parent.id, maps.Clone(parent.content)
			}
			c.drafts = append(c.drafts, d)
		}
		d.busy = true
	})
	defer c.do(func() { d.busy = false })
	if !c.startDraft(d) {
		return
	}
	for range 1 + c.rng.IntN(2) {
		if !c.putBlock(d, int64(c.rng.IntN(1500))) {
			return
		}
	}
	if c.rng.IntN(3) > 0 {
		c.completeDraft(d)
	}
}

func (c caller) startDraft(d *draft) bool {
	var id string
	in := &ebs.StartSnapshotInput{VolumeSize: aws.Int64(2), ClientToken: &d.token, Description: &d.token}
	if d.parent != "" {
		in.ParentSnapshotId = &d.parent
	}
	y := c.ask("StartSnapshot", func(ctx context.Context, way door) error {
		out, err := way.ebs.StartSnapshot(ctx, in)
		if err == nil {
			id = *out.SnapshotId
		}
		return err
	})
	if y.err != nil {
		if code := codeOf(y.err); d.id == "" && d.parent != "" && (code == "ResourceNotFoundException" || code == "ValidationException") {
			c.do(func() { d.void = true }) // its parent is gone
			return false
		}
		c.refusal("StartSnapshot", y)
		return false
	}
	c.same(d.token, &d.id, id)
	c.made(id, d.from, y.to)
	c.see(id, d.content)
	return true
}

func (c caller) putBlock(d *draft, i int64) bool {
	data := blockOf(i % 30)
	sum := sha256.Sum256(data)
	c.do(func() { d.content[i], d.own[i] = sum, sum })
	y := c.ask("PutSnapshotBlock", func(ctx context.Context, way door) error {
		_, err := way.ebs.PutSnapshotBlock(ctx, &ebs.PutSnapshotBlockInput{
			SnapshotId: &d.id, BlockIndex: aws.Int32(int32(i)), BlockData: bytes.NewReader(data), DataLength: aws.Int32(blockBytes),
			Checksum: aws.String(base64.StdEncoding.EncodeToString(sum[:])), ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256,
		})
		return err
	})
	c.refusal("PutSnapshotBlock", y)
	c.do(func() { d.put[i] = d.put[i] || y.err == nil })
	return y.err == nil
}

// completeDraft completes a draft, with the count and the checksum of its blocks, after
// writing those again whose writing was not answered.
func (c caller) completeDraft(d *draft) bool {
	asked := d.complete
	for _, i := range slices.Sorted(maps.Keys(d.own)) {
		if !d.put[i] && !c.putBlock(d, i) {
			return false
		}
	}
	sum := sha256.New()
	for _, i := range slices.Sorted(maps.Keys(d.own)) {
		digest := d.own[i]
		sum.Write(digest[:])
	}
	c.do(func() { d.complete = true })
	y := c.ask("CompleteSnapshot", func(ctx context.Context, way door) error {
		_, err := way.ebs.CompleteSnapshot(ctx, &ebs.CompleteSnapshotInput{
			SnapshotId: &d.id, ChangedBlocksCount: aws.Int32(int32(len(d.own))), Checksum: aws.String(base64.StdEncoding.EncodeToString(sum.Sum(nil))),
			ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256, ChecksumAggregationMethod: ebstypes.ChecksumAggregationMethodChecksumAggregationLinear,
		})
		return err
	})
	if asked || y.lost > 0 { // an earlier attempt may have completed it
		c.refusal("CompleteSnapshot", y, "ValidationException")
		return !y.unanswered()
	}
	c.refusal("CompleteSnapshot", y)
	return y.err == nil
}

// copy copies a snapshot.
func (c caller) copy() {
	from := c.snapshot(func(s *snap) bool { return s.completed && !s.removed })
	if from == nil {
		return
	}
	k := &copying{content: from.content, from: c.now()}
	c.do(func() {
		k.description = fmt.Sprintf("copy %d", len(c.copies))
		c.copies = append(c.copies, k)
	})
	var id string
	y := c.ask("CopySnapshot", func(ctx context.Context, d door) error {
		out, err := d.ec2.CopySnapshot(ctx, &ec2.CopySnapshotInput{SourceSnapshotId: &from.id, SourceRegion: aws.String(Region), Description: &k.description})
		if err == nil {
			id = *out.SnapshotId
		}
		return err
	})
	c.refusal("CopySnapshot", y, notFound...)
	if out := outcome(y, ok); out == absent {
		c.note(y, from.id, look, absent)
	}
	c.do(func() { k.attempts += y.sent })
	if y.err == nil {
		c.do(func() { k.id = id })
		c.made(id, k.from, y.to)
		c.see(id, k.content)
	}
}

// remove deletes a snapshot, when there are enough.
func (c caller) remove() {
	n := 0
	c.do(func() {
		for _, s := range c.snaps {
			if !s.removed {
				n++
			}
		}
	})
	if n > most/2 && c.rng.IntN(most) < n {
		if s := c.snapshot(func(s *snap) bool { return s.completed && (!s.removed || c.rng.IntN(8) == 0) }); s != nil {
			c.lookAt(s)
			c.removeSnapshot(s)
			c.readSnapshot(s, 1)
			c.lookAt(s)
		}
	}
}

func (c caller) removeSnapshot(s *snap) {
	c.do(func() { s.removed, c.hot = true, s })
	y := c.ask("DeleteSnapshot", func(ctx context.Context, d door) error {
		_, err := d.ec2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: &s.id})
		return err
	})
	c.refusal("DeleteSnapshot", y, notFound...)
	c.note(y, s.id, remove, outcome(y, ok))
}

// share shares a snapshot with the guest, or does so no more. The guest looks before and after.
func (c caller) share() {
	s := c.snapshot(func(s *snap) bool { return s.completed && !s.removed })
	if s == nil {
		return
	}
	c.do(func() { c.hot = s })
	c.visitSnapshot(s)
	c.shareSnapshot(s)
	c.visitSnapshot(s)
	c.seeSharesOf(s)
}

func (c caller) shareSnapshot(s *snap) {
	v, op := share, ec2types.OperationTypeAdd
	if c.rng.IntN(2) == 0 {
		v, op = unshare, ec2types.OperationTypeRemove
	}
	y := c.ask("ModifySnapshotAttribute", func(ctx context.Context, d door) error {
		_, err := d.ec2.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{
			SnapshotId: &s.id, Attribute: ec2types.SnapshotAttributeNameCreateVolumePermission, OperationType: op, UserIds: []string{c.guest.ID},
		})
		return err
	})
	c.refusal("ModifySnapshotAttribute", y, notFound...)
	c.note(y, s.id, v, outcome(y, ok))
}

func (c caller) seeShares() {
	if s := c.snapshot(func(s *snap) bool { return s.completed }); s != nil {
		c.seeSharesOf(s)
	}
}

func (c caller) seeSharesOf(s *snap) {
	shared := no
	y := c.ask("DescribeSnapshotAttribute", func(ctx context.Context, d door) error {
		out, err := d.ec2.DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{SnapshotId: &s.id, Attribute: ec2types.SnapshotAttributeNameCreateVolumePermission})
		if err == nil && len(out.CreateVolumePermissions) > 0 {
			shared = yes
		}
		return err
	})
	c.refusal("DescribeSnapshotAttribute", y, notFound...)
	c.note(y, s.id, shares, outcome(y, shared))
}

// visit has the guest list the blocks of a snapshot, or the snapshot.
func (c caller) visit() {
	if s := c.snapshot(func(s *snap) bool { return s.completed }); s != nil {
		c.visitSnapshot(s)
	}
}

func (c caller) visitSnapshot(s *snap) {
	y := c.ask("the guest", func(ctx context.Context, d door) error {
		if c.rng.IntN(2) == 0 {
			_, err := d.visitor.ListSnapshotBlocks(ctx, &ebs.ListSnapshotBlocksInput{SnapshotId: &s.id})
			return err
		}
		_, err := d.guest.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{s.id}})
		return err
	})
	c.refusal("the guest", y, append(notFound, "AccessDeniedException")...)
	switch {
	case y.err == nil:
		c.note(y, s.id, visit, yes)
	case !y.unanswered():
		c.note(y, s.id, visit, no)
	}
}

// seeSnapshots lists all snapshots.
func (c caller) seeSnapshots() {
	found, about := map[string]answer{}, map[string]string{}
	y := c.ask("DescribeSnapshots", func(ctx context.Context, d door) error {
		out, err := d.ec2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
		if err != nil {
			return err
		}
		for _, s := range out.Snapshots {
			if found[*s.SnapshotId] != "" {
				c.wrong("a list has snapshot %s twice", *s.SnapshotId)
			}
			found[*s.SnapshotId], about[*s.SnapshotId] = answer(s.State), aws.ToString(s.Description)
		}
		return nil
	})
	c.refusal("DescribeSnapshots", y)
	if y.err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists = append(c.lists, list{c.id, y.from, y.to, found})
	maps.Copy(c.of, about)
	for id, out := range found {
		if s := c.snaps[id]; s != nil && out == completed {
			s.completed = true
		}
	}
}

// seeSnapshot looks at one snapshot.
func (c caller) seeSnapshot() {
	if s := c.snapshot(func(*snap) bool { return true }); s != nil {
		c.lookAt(s)
	}
}

func (c caller) lookAt(s *snap) {
	var out answer
	y := c.ask("DescribeSnapshots", func(ctx context.Context, d door) error {
		got, err := d.ec2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{s.id}})
		if err == nil && len(got.Snapshots) != 1 {
			c.wrong("DescribeSnapshots of %s was answered with %d snapshots", s.id, len(got.Snapshots))
			return nil
		}
		if err == nil {
			out = answer(got.Snapshots[0].State)
		}
		return err
	})
	c.refusal("DescribeSnapshots", y, notFound...)
	if y.err == nil && out == "" {
		return
	}
	c.note(y, s.id, look, outcome(y, out))
	c.do(func() { s.completed = s.completed || out == completed })
}

// read reads what is in a snapshot: the list of its blocks, and some of them.
func (c caller) read() {
	if s := c.snapshot(func(s *snap) bool { return s.completed }); s != nil {
		c.readSnapshot(s, 2)
	}
}

// readSnapshot reads the list of blocks, and so many of them. It returns false if that
// did not succeed.
func (c caller) readSnapshot(s *snap, blocks int) bool {
	tokens := map[int64]string{}
	y := c.ask("ListSnapshotBlocks", func(ctx context.Context, d door) error {
		pages := ebs.NewListSnapshotBlocksPaginator(d.ebs, &ebs.ListSnapshotBlocksInput{SnapshotId: &s.id})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, b := range page.Blocks {
				tokens[int64(*b.BlockIndex)] = *b.BlockToken
			}
		}
		return nil
	})
	c.refusal("ListSnapshotBlocks", y, notFound...)
	c.note(y, s.id, look, outcome(y, completed))
	if y.err != nil {
		return !y.unanswered()
	}
	if got, want := slices.Sorted(maps.Keys(tokens)), slices.Sorted(maps.Keys(s.content)); !slices.Equal(got, want) {
		c.wrong("snapshot %s has blocks %v, want %v", s.id, got, want)
		return false
	}
	all := slices.Sorted(maps.Keys(tokens))
	c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, i := range all[:min(blocks, len(all))] {
		if !c.readBlock(s, i, tokens[i]) {
			return false
		}
	}
	return true
}

func (c caller) readBlock(s *snap, i int64, token string) bool {
	var sum [sha256.Size]byte
	y := c.ask("GetSnapshotBlock", func(ctx context.Context, d door) error {
		out, err := d.ebs.GetSnapshotBlock(ctx, &ebs.GetSnapshotBlockInput{SnapshotId: &s.id, BlockIndex: aws.Int32(int32(i)), BlockToken: &token})
		if err != nil {
			return err
		}
		data, err := io.ReadAll(out.BlockData)
		_ = out.BlockData.Close()
		sum = sha256.Sum256(data)
		return err
	})
	c.refusal("GetSnapshotBlock", y, notFound...)
	c.note(y, s.id, look, outcome(y, completed))
	if y.err == nil && sum != s.content[i] {
		c.wrong("block %d of snapshot %s is not what was written", i, s.id)
	}
	return !y.unanswered()
}

func (c caller) collect() { c.collectGarbage() }

func (c caller) collectGarbage() bool {
	var f client.Freed
	y := c.ask("gc", func(ctx context.Context, d door) (err error) {
		f, err = d.own.CollectGarbage(ctx)
		return err
	})
	c.refusal("gc", y)
	if len(f.Damaged)+len(f.Quarantined) > 0 || f.Implausible != "" {
		c.wrong("gc found %q damaged and %q unknown; %s", f.Damaged, f.Quarantined, f.Implausible)
	}
	return y.err == nil
}

func (c caller) compact() {
	y := c.ask("compact", func(ctx context.Context, d door) error {
		done, err := d.own.Compact(ctx, 0, func(int64, int64) {})
		if len(done.Damaged)+len(done.Locked) > 0 {
			c.wrong("the compaction found %q damaged and %q locked", done.Damaged, done.Locked)
		}
		return err
	})
	c.refusal("compact", y)
}
