package torture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ebs"
	ebstypes "github.com/aws/aws-sdk-go-v2/service/ebs/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/internal/client"
)

// workers is how many clients there are at the same time.
const workers = 4

// load asks for one thing after another. When it does so for the time after the last of most,
// it calls end; if that is nil, it ends then, and else when the service has died, or the world
// is paused.
func (w *world) load(s *service, n uint64, most int64, end func()) {
	var all sync.WaitGroup
	var done atomic.Int64
	defer func() { w.tally.steps += done.Load() }()
	for i := range uint64(workers) {
		rng := rand.New(rand.NewPCG(*seed, n*workers+i))
		all.Go(func() {
			c := caller{w, s, s.ctx, rng}
			for s.ctx.Err() == nil && !w.paused.Load() {
				switch at := done.Add(1); {
				case at > most && end == nil:
					return
				case at == most+1:
					end()
				}
				c.step()
			}
		})
	}
	all.Wait()
}

// caller is one client of a world.
type caller struct {
	*world
	s   *service
	ctx context.Context
	rng *rand.Rand
}

// steps are what clients do, how often, and which points the service comes to by that: a
// part of their names.
var steps = []struct {
	share  int
	do     func(caller) error
	points []string
	here   bool // it needs the embedded S3
}{
	{20, caller.importSnapshot, []string{"Tasks.", "Catalog.", "scratch", "Objects.Pin", "Objects.Release"}, false},
	{4, caller.importImage, []string{"Tasks.CreateImage", "Tasks.Split", "LetGo"}, false},
	{20, caller.harvest, []string{"Snapshots.", "Garbage.", "gc: ", "Images"}, false},
	{10, caller.write, []string{"Snapshots.", "pack: ", "pages: ", "root: "}, false},
	{8, caller.copy, []string{"Snapshots.S", "Snapshots.C", "root: "}, false},
	{14, caller.remove, []string{"Garbage.", "gc: ", "removed", "Snapshots.Delete"}, false},
	{5, caller.cancel, []string{"Tasks.C", "LetGo"}, false},
	{12, caller.put, []string{"Objects.", "objects: "}, true},
	{3, caller.upload, []string{"Objects.CreateUpload", "Objects.PutPart", "Objects.Complete"}, true},
	{5, caller.removeObject, []string{"Objects.", "objects: "}, true},
	{7, caller.collect, []string{"Garbage.", "gc: ", "removed"}, false},
	{4, caller.compact, []string{"Packs.", "pack: "}, false},
	{2, caller.rotate, []string{"ReplaceKeys", "Kept.", "KMS.", "master.key", "Packs."}, false},
}

// often is how much more often clients do what leads to the point that is to be come to.
const often = 8

func (c caller) step() {
	aim := c.s.armed.point
	if at := c.aim.Load(); at != nil {
		aim = *at
	}
	shares, total := make([]int, len(steps)), 0
	for i, s := range steps {
		if s.here && c.s.at.shared != nil {
			continue
		}
		shares[i] = s.share
		if slices.ContainsFunc(s.points, func(part string) bool { return strings.Contains(aim, part) }) {
			shares[i] *= often
		}
		total += shares[i]
	}
	n := c.rng.IntN(total)
	for i, s := range steps {
		if n -= shares[i]; n < 0 {
			if err := s.do(c); err != nil && c.ctx.Err() == nil && answered(err) && !isCode(err, busy...) && !(c.fills && isCode(err, full...)) {
				c.wrong("%v", err)
			}
			return
		}
	}
}

// busy are the codes with which a service that has much to do, or a client that is slow on
// a slow machine, is told to come again.
var busy = []string{
	"SlowDown", "RequestTimeout", "ServiceUnavailable", "Unavailable", "Busy", "ThrottlingException", "RequestThrottledException",
	"RequestLimitExceeded", "ConcurrentLimitExceededException", "ResourceLimitExceeded", "ServiceQuotaExceededException",
}

// full are the codes with which a service whose disk is full refuses what needs room.
var full = []string{"InsufficientCapacity", "InsufficientStorage", "ServiceQuotaExceededException", "ServiceUnavailable", "DependencyTimeoutException"}

// answered reports whether the service answered with an error, rather than died.
func answered(err error) bool {
	var api smithy.APIError
	var own *client.Error
	return errors.As(err, &own) || errors.As(err, &api)
}

// isCode reports whether the service answered with one of some codes.
func isCode(err error, codes ...string) bool {
	var api smithy.APIError
	var own *client.Error
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode()) || errors.As(err, &own) && slices.Contains(codes, own.Code)
}

func (c caller) importSnapshot() error {
	i := &importing{token: c.name("import"), image: c.images[c.rng.IntN(len(c.images)-1)], encrypt: c.rng.IntN(4) == 0}
	c.do(func() { c.imports = append(c.imports, i) })
	return c.ask(i)
}

func (c caller) importImage() error {
	i := &importing{token: c.name("image"), image: c.images[len(c.images)-1]}
	c.do(func() { c.imports = append(c.imports, i) })
	return c.ask(i)
}

// ask asks for an import, perhaps once more. The same token must answer with the same id.
func (c caller) ask(i *importing) error {
	var id string
	if i.image.format == "OVA" {
		out, err := c.s.ec2.ImportImage(c.ctx, &ec2.ImportImageInput{
			ClientToken: &i.token, Description: &i.token,
			DiskContainers: []ec2types.ImageDiskContainer{{Format: &i.image.format, Url: aws.String("s3://images/" + i.image.key)}},
		})
		if err != nil {
			return fmt.Errorf("ImportImage %s: %w", i.token, err)
		}
		id = *out.ImportTaskId
	} else {
		in := &ec2.ImportSnapshotInput{
			ClientToken: &i.token, Description: &i.token,
			DiskContainer: &ec2types.SnapshotDiskContainer{Url: aws.String("s3://images/" + i.image.key)},
		}
		if i.image.format != "" {
			in.DiskContainer.Format = &i.image.format
		}
		if i.encrypt {
			in.Encrypted, in.KmsKeyId = aws.Bool(true), &c.kmsKey
		}
		out, err := c.s.ec2.ImportSnapshot(c.ctx, in)
		if err != nil {
			return fmt.Errorf("ImportSnapshot %s: %w", i.token, err)
		}
		id = *out.ImportTaskId
	}
	c.mu.Lock()
	defer c.unlock()
	if i.id != "" && i.id != id {
		c.broken = append(c.broken, fmt.Sprintf("token %s was answered with %s, and with %s before", i.token, id, i.id))
	}
	i.id = id
	return nil
}

// some returns a value of a list that is wanted; the zero value if there is none.
func some[T any](w *world, rng *rand.Rand, list *[]T, ok func(T) bool) (found T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, x := range *list {
		if ok(x) {
			if n++; rng.IntN(n) == 0 {
				found = x
			}
		}
	}
	return found
}

// harvest looks at something that was begun.
func (c caller) harvest() error {
	switch c.rng.IntN(3) {
	case 0:
		if d := some(c.world, c.rng, &c.drafts, func(d *draft) bool { return d.complete && !d.ended && !d.busy }); d != nil {
			return c.seeDraft(d)
		}
	case 1:
		if y := some(c.world, c.rng, &c.copies, func(y *copying) bool { return y.id != "" && !y.ended }); y != nil {
			return c.seeCopy(y)
		}
	}
	if i := some(c.world, c.rng, &c.imports, func(i *importing) bool { return i.id != "" && !i.ended }); i != nil {
		return c.seeImport(i)
	}
	return nil
}

// seeImport looks at an import. What was done stays done, and nothing but a cancelled one
// may fail.
func (c caller) seeImport(i *importing) error {
	if i.image.format == "OVA" {
		return c.seeImage(i)
	}
	task, err := c.s.Task(c.ctx, i.id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.unlock()
	if task.Progress.RangesDone < i.ranges && task.Status == "active" {
		c.broken = append(c.broken, fmt.Sprintf("task %s has %d ranges done, and had %d", i.id, task.Progress.RangesDone, i.ranges))
	}
	i.ranges = max(i.ranges, task.Progress.RangesDone)
	if c.endOf(i, task.Status, task.Failure) {
		c.completed(task.SnapshotID, i.image.disks[0], "")
	}
	return nil
}

func (c caller) seeImage(i *importing) error {
	task, err := c.s.ImageTask(c.ctx, i.id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.unlock()
	if !c.endOf(i, task.Status, task.Failure) {
		return nil
	}
	if len(task.Disks) != len(i.image.disks) {
		c.broken = append(c.broken, fmt.Sprintf("task %s is completed with %d disks", i.id, len(task.Disks)))
		return nil
	}
	for n, d := range task.Disks {
		c.completed(d.SnapshotID, i.image.disks[n], task.ImageID)
	}
	return nil
}

// endOf notes that a task has ended, and returns whether it is completed, for the first
// time. The world is locked.
func (c caller) endOf(i *importing, status string, f *client.Failure) (completed bool) {
	if i.ended || status != "completed" && status != "deleted" {
		return false
	}
	i.ended = true
	if status == "deleted" && !i.cancel && !(c.fills && f != nil && f.Reason == "store-full") {
		c.broken = append(c.broken, fmt.Sprintf("task %s (%s) failed: %+v", i.id, i.image.key, f))
	}
	return status == "completed"
}

// completed notes a snapshot. The world is locked.
func (c caller) completed(id string, blocks content, image string) {
	if _, twice := c.snaps[id]; twice {
		c.broken = append(c.broken, fmt.Sprintf("snapshot %s is of two tasks", id))
	}
	c.snaps[id] = &snap{id: id, blocks: blocks, image: image}
}

// seeDraft and seeCopy look whether a snapshot is completed.
func (c caller) seeDraft(d *draft) error {
	return c.seeSnapshot(d.id, func() {
		if !d.ended {
			d.ended = true
			whole := maps.Clone(d.base)
			maps.Copy(whole, d.blocks)
			c.completed(d.id, whole, "")
		}
	})
}

func (c caller) seeCopy(y *copying) error {
	return c.seeSnapshot(y.id, func() {
		if !y.ended {
			y.ended = true
			c.completed(y.id, y.blocks, "")
		}
	})
}

func (c caller) seeSnapshot(id string, completed func()) error {
	sn, err := c.s.Snapshot(c.ctx, id)
	if err != nil {
		return err
	}
	switch sn.State {
	case "completed":
		c.do(completed)
	case "error":
		c.wrong("snapshot %s is in error: %s", id, sn.Message)
	}
	return nil
}

// write begins a snapshot and writes some of it, or goes on with one.
func (c caller) write() error {
	d := some(c.world, c.rng, &c.drafts, func(d *draft) bool { return !d.complete && !d.ended && !d.busy })
	if d == nil || c.rng.IntN(3) == 0 {
		d = &draft{token: c.name("direct"), base: content{}, blocks: content{}, acked: map[int64]bool{}}
		if parent := c.take(c.rng, func(*snap) bool { return c.rng.IntN(2) == 0 }); parent != nil {
			defer c.release(parent)
			d.parent, d.base = parent.id, parent.blocks
		}
		c.do(func() { c.drafts = append(c.drafts, d) })
	}
	if !c.reserve(&d.busy) {
		return nil
	}
	defer c.do(func() { d.busy = false })
	if err := c.startDraft(d); err != nil || d.ended {
		return err
	}
	for range 1 + c.rng.IntN(3) {
		if err := c.putBlock(d, int64(c.rng.IntN(1500))); err != nil {
			return err
		}
	}
	if c.rng.IntN(2) == 0 {
		return c.completeDraft(d)
	}
	return nil
}

func (c caller) reserve(busy *bool) bool {
	c.mu.Lock()
	defer c.unlock()
	was := *busy
	*busy = true
	return !was
}

func (c caller) startDraft(d *draft) error {
	in := &ebs.StartSnapshotInput{VolumeSize: aws.Int64(2), ClientToken: &d.token, Description: &d.token}
	if d.parent != "" {
		in.ParentSnapshotId = &d.parent
	}
	out, err := c.s.ebs.StartSnapshot(c.ctx, in)
	if d.id == "" && isCode(err, "ResourceNotFoundException", "ValidationException") { // its parent is gone, and it never was
		c.do(func() { d.ended = true })
		return nil
	}
	if err != nil {
		return fmt.Errorf("StartSnapshot %s: %w", d.token, err)
	}
	c.mu.Lock()
	defer c.unlock()
	if d.id != "" && d.id != *out.SnapshotId {
		c.broken = append(c.broken, fmt.Sprintf("token %s was answered with %s, and with %s before", d.token, *out.SnapshotId, d.id))
	}
	d.id = *out.SnapshotId
	return nil
}

// blockOf is block i of every draft, so that some are stored already.
func blockOf(i int64) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "block %07d of the disk\n.", i), blockBytes/24+1)[:blockBytes]
}

func (c caller) putBlock(d *draft, i int64) error {
	p := blockOf(i)
	sum := sha256.Sum256(p)
	c.do(func() { d.blocks[i] = sum })
	_, err := c.s.ebs.PutSnapshotBlock(c.ctx, &ebs.PutSnapshotBlockInput{
		SnapshotId: &d.id, BlockIndex: aws.Int32(int32(i)), BlockData: bytes.NewReader(p), DataLength: aws.Int32(blockBytes),
		Checksum: aws.String(base64.StdEncoding.EncodeToString(sum[:])), ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256,
	})
	if err != nil {
		return fmt.Errorf("PutSnapshotBlock %d of %s: %w", i, d.id, err)
	}
	c.do(func() { d.acked[i] = true })
	return nil
}

// completeDraft completes a draft, with the count of its blocks, after writing those
// again whose writing was not answered.
func (c caller) completeDraft(d *draft) error {
	for i := range d.blocks {
		if !d.acked[i] {
			if err := c.putBlock(d, i); err != nil {
				return err
			}
		}
	}
	c.do(func() { d.complete = true })
	sum := sha256.New()
	for _, i := range sortedKeys(d.blocks) {
		digest := d.blocks[i]
		sum.Write(digest[:])
	}
	_, err := c.s.ebs.CompleteSnapshot(c.ctx, &ebs.CompleteSnapshotInput{
		SnapshotId: &d.id, ChangedBlocksCount: aws.Int32(int32(len(d.blocks))), Checksum: aws.String(base64.StdEncoding.EncodeToString(sum.Sum(nil))),
		ChecksumAlgorithm: ebstypes.ChecksumAlgorithmChecksumAlgorithmSha256, ChecksumAggregationMethod: ebstypes.ChecksumAggregationMethodChecksumAggregationLinear,
	})
	if err != nil {
		return fmt.Errorf("CompleteSnapshot %s: %w", d.id, err)
	}
	return nil
}

func sortedKeys(c content) []int64 {
	keys := make([]int64, 0, len(c))
	for i := range c {
		keys = append(keys, i)
	}
	slices.Sort(keys)
	return keys
}

// copy copies a snapshot, into the same domain or another.
func (c caller) copy() error {
	from := c.take(c.rng, func(*snap) bool { return true })
	if from == nil {
		return nil
	}
	defer c.release(from)
	return c.copyOf(from, c.rng.IntN(2) == 0)
}

func (c caller) copyOf(from *snap, encrypt bool) error {
	y := &copying{description: c.name("copy"), blocks: from.blocks}
	c.do(func() { c.copies = append(c.copies, y) })
	in := &ec2.CopySnapshotInput{SourceSnapshotId: &from.id, SourceRegion: aws.String(region), Description: &y.description}
	if encrypt {
		in.Encrypted, in.KmsKeyId = aws.Bool(true), &c.kmsKey
	}
	out, err := c.s.ec2.CopySnapshot(c.ctx, in)
	if err != nil {
		return fmt.Errorf("CopySnapshot %s: %w", from.id, err)
	}
	c.do(func() { y.id = *out.SnapshotId })
	return nil
}

// remove deletes a snapshot that no image needs.
func (c caller) remove() error {
	sn := c.take(c.rng, func(s *snap) bool { return s.image == "" })
	if sn == nil {
		return nil
	}
	return c.delete(sn)
}

func (c caller) delete(sn *snap) error {
	c.do(func() { sn.delete = true })
	if _, err := c.s.ec2.DeleteSnapshot(c.ctx, &ec2.DeleteSnapshotInput{SnapshotId: &sn.id}); err != nil {
		return fmt.Errorf("DeleteSnapshot %s: %w", sn.id, err)
	}
	c.do(func() { delete(c.snaps, sn.id) })
	return nil
}

func (c caller) cancel() error {
	i := some(c.world, c.rng, &c.imports, func(i *importing) bool { return i.id != "" && !i.ended })
	if i == nil {
		return nil
	}
	c.do(func() { i.cancel = true })
	_, err := c.s.ec2.CancelImportTask(c.ctx, &ec2.CancelImportTaskInput{ImportTaskId: &i.id})
	if isCode(err, "DeleteConversionTaskError") { // it has ended
		return nil
	}
	return err
}

// key reserves a key of the bucket.
func (c caller) key() (string, *object) {
	k := fmt.Sprintf("key/%d", c.rng.IntN(len(c.objects)))
	o := c.objects[k]
	if !c.reserve(&o.busy) {
		return "", nil
	}
	return k, o
}

// change has an object become one with a digest, which it may have or not until that is
// answered.
func (c caller) change(o *object, digest string, call func() error) error {
	defer c.do(func() { o.busy = false })
	c.do(func() { o.may = append(o.may, digest) })
	if err := call(); err != nil {
		return err
	}
	c.do(func() { o.may = []string{digest} })
	return nil
}

func (c caller) put() error {
	k, o := c.key()
	if o == nil {
		return nil
	}
	data, digest := body([]int{0, 1, 4096, 300_000, 2 << 20}[c.rng.IntN(5)], c.rng)
	return c.change(o, digest, func() error {
		_, err := c.s.s3.PutObject(c.ctx, &s3.PutObjectInput{Bucket: aws.String("things"), Key: &k, Body: bytes.NewReader(data)})
		return err
	})
}

// upload uploads an object in two parts, and sometimes leaves it at that.
func (c caller) upload() error {
	k, o := c.key()
	if o == nil {
		return nil
	}
	data, digest := body(5<<20+1000, c.rng)
	return c.change(o, digest, func() error {
		bucket := aws.String("things")
		up, err := c.s.s3.CreateMultipartUpload(c.ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &k})
		if err != nil {
			return err
		}
		var parts []s3types.CompletedPart
		for i, part := range [][]byte{data[:5<<20], data[5<<20:]} {
			n := int32(i + 1)
			out, err := c.s.s3.UploadPart(c.ctx, &s3.UploadPartInput{Bucket: bucket, Key: &k, UploadId: up.UploadId, PartNumber: &n, Body: bytes.NewReader(part)})
			if err != nil {
				return err
			}
			parts = append(parts, s3types.CompletedPart{ETag: out.ETag, PartNumber: &n})
		}
		_, err = c.s.s3.CompleteMultipartUpload(c.ctx, &s3.CompleteMultipartUploadInput{
			Bucket: bucket, Key: &k, UploadId: up.UploadId, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: parts},
		})
		return err
	})
}

func (c caller) removeObject() error {
	k, o := c.key()
	if o == nil {
		return nil
	}
	return c.change(o, "", func() error {
		_, err := c.s.s3.DeleteObject(c.ctx, &s3.DeleteObjectInput{Bucket: aws.String("things"), Key: &k})
		return err
	})
}

func (c caller) collect() error {
	f, err := c.s.CollectGarbage(c.ctx)
	if err != nil {
		return err
	}
	c.clean(f)
	return nil
}

// clean looks at what a collection found: nothing that should not be.
func (c caller) clean(f client.Freed) {
	if len(f.Damaged) > 0 || len(f.Quarantined) > 0 || f.Implausible != "" {
		c.wrong("gc found %q damaged and %q unknown; %s", f.Damaged, f.Quarantined, f.Implausible)
	}
}

func (c caller) compact() error {
	done, err := c.s.Compact(c.ctx, 0, func(int64, int64) {})
	if err == nil && len(done.Damaged)+len(done.Locked) > 0 {
		c.wrong("the compaction found %q damaged and %q locked", done.Damaged, done.Locked)
	}
	return err
}

// rotate replaces keys, of each kind.
func (c caller) rotate() error {
	switch c.rng.IntN(4) {
	case 0:
		_, err := c.s.RotateMaster(c.ctx)
		if isCode(err, "NotRotated") && strings.Contains(err.Error(), "is being replaced") { // by another client
			return nil
		}
		return err
	case 1:
		_, err := c.s.kms.RotateKeyOnDemand(c.ctx, &kms.RotateKeyOnDemandInput{KeyId: &c.kmsKey})
		if isCode(err, "LimitExceededException", "ConflictException") {
			return nil
		}
		return err
	}
	_, err := c.s.Rotate(c.ctx, client.Rotation{KMSKey: c.kmsKey, Rewrap: c.rng.IntN(2) == 0}, func(int64, int64) {})
	if isCode(err, "NoSuchDomain") { // nothing is encrypted yet
		return nil
	}
	return err
}
