package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type demoCmd struct{}

func (c *demoCmd) command(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on a disk image made for it.",
		Long:  "Show the main job on a disk image made for it: upload, ImportSnapshot, and reading back, with a service in a temporary directory. Nothing is left behind.",
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
}

// The names that the AWS user guide's recipe uses.
const (
	demoRole   = "vmimport"
	demoBucket = "my-import-bucket"
	demoKey    = "vms/disk.vmdk"
)

// run shows the main job in a directory of its own, and leaves nothing behind.
func (c *demoCmd) run(ctx context.Context, a *app) (err error) {
	dir, err := os.MkdirTemp("", "diskport-demo-")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(dir))
		if ctx.Err() != nil {
			a.note("Interrupted; nothing was left behind.")
			err = errReported
		}
	}()
	d := demo{app: a, dir: dir}
	return d.run(ctx)
}

// demo is one run of the demo.
type demo struct {
	*app
	dir  string
	step int
}

// say announces what comes next.
func (d *demo) say(format string, args ...any) {
	d.step++
	_, _ = fmt.Fprintf(d.stdout, "%d. "+format+"\n", append([]any{d.step}, args...)...)
}

func (d *demo) tell(format string, args ...any) {
	_, _ = fmt.Fprintf(d.stdout, "   "+format+"\n", args...)
}

func (d *demo) run(ctx context.Context) error {
	d.say("Making a disk image")
	image, err := makeDemoDisk(ctx, d.dir)
	if err != nil {
		return err
	}
	info, err := os.Stat(image.vmdk)
	if err != nil {
		return err
	}
	d.tell("%s of disk (%s), %d files of %s in it; as a stream-optimised VMDK %s",
		size(demoDiskSize), image.label, demoFiles, size(demoFileSize), size(info.Size()))

	d.say("Starting the service with embedded defaults in %s", d.dir)
	s, err := d.start(ctx)
	if err != nil {
		return err
	}
	d.tell("every AWS endpoint is at %s", s.Endpoint())
	return errors.Join(d.showMainJob(ctx, s, image), s.close())
}

// start starts a service in the demo's directory, whatever the environment says.
func (d *demo) start(ctx context.Context) (*session, error) {
	local := &app{globals: d.globals, file: d.file, stdin: d.stdin, stdout: d.stdout, stderr: d.stderr}
	local.Data = d.dir + "/data"
	local.Region = local.ownRegion()                                      // not AWS_REGION, where its buckets are not
	return local.startLocal(ctx, func(f *serviceFlags) { f.Reserve = 0 }) // /tmp may be small
}

func (d *demo) showMainJob(ctx context.Context, s *session, image demoDisk) error {
	d.say("S3: uploading the image to s3://%s/%s", demoBucket, demoKey)
	if err := d.upload(ctx, s, image.vmdk); err != nil {
		return err
	}
	d.say("IAM: creating the service role %s", demoRole)
	if err := s.EnsureRole(ctx, demoRole); err != nil {
		return err
	}
	d.say("EC2: ImportSnapshot")
	task, err := d.importImage(ctx, s)
	if err != nil {
		return err
	}
	d.say("EBS direct: reading every block of %s back", task.SnapshotID)
	if err := d.compare(ctx, s, task.SnapshotID, image.raw); err != nil {
		return err
	}
	snapshot, err := s.Snapshot(ctx, task.SnapshotID)
	if err != nil {
		return err
	}
	d.conclude(task, snapshot)
	return nil
}

func (d *demo) upload(ctx context.Context, s *session, path string) error {
	if err := s.EnsureBucket(ctx, demoBucket); err != nil {
		return err
	}
	f, bytes, err := openRaw(path)
	if err != nil {
		return err
	}
	defer f.Close()
	p := d.newProgress("   " + demoKey)
	defer p.end()
	return s.Upload(ctx, demoBucket, demoKey, f, bytes, func(done int64) { p.step("uploading", done, bytes) })
}

func (d *demo) importImage(ctx context.Context, s *session) (client.Task, error) {
	p := d.newProgress("   import")
	defer p.end()
	task, err := s.Import(ctx, client.ImportRequest{
		URL:         "s3://" + demoBucket + "/" + demoKey,
		Description: "Diskport demo",
		RoleName:    demoRole,
	}, client.Watcher{Task: p.task})
	if err == nil && task.Failure != nil {
		err = fmt.Errorf("task %s failed: %s: %s", task.ID, task.Failure.Message, task.Failure.Detail)
	}
	return task, err
}

// compare reads the snapshot back and the original beside it.
func (d *demo) compare(ctx context.Context, s *session, snapshotID, path string) error {
	original, bytesOnDisk, err := openRaw(path)
	if err != nil {
		return err
	}
	defer original.Close()
	c := comparison{original: original, size: bytesOnDisk, seen: map[int64]bool{}}
	start := time.Now()
	if err := s.EachBlock(ctx, snapshotID, c.block); err != nil {
		return err
	}
	if err := c.rest(ctx); err != nil {
		return err
	}
	read := int64(len(c.seen)) * client.BlockSize
	d.tell("%d blocks (%s) at %s, every checksum right, identical to the original disk",
		len(c.seen), size(read), rate(float64(read)/time.Since(start).Seconds()))
	return nil
}

// comparison compares blocks of a snapshot with the disk that was imported.
type comparison struct {
	original io.ReaderAt
	size     int64

	mu   sync.Mutex // guards seen
	seen map[int64]bool
}

func (c *comparison) block(index int64, data []byte) error {
	c.mu.Lock()
	c.seen[index] = true
	c.mu.Unlock()
	want := make([]byte, len(data)) // beyond the disk's end the volume is zero
	if _, err := c.original.ReadAt(want, index*client.BlockSize); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(data, want) {
		return fmt.Errorf("block %d differs from the original", index)
	}
	return nil
}

// rest checks that the disk is zero where the snapshot has no blocks.
func (c *comparison) rest(ctx context.Context) error {
	buf, zeros := make([]byte, client.BlockSize), make([]byte, client.BlockSize)
	for index := int64(0); index*client.BlockSize < c.size; index++ {
		if c.seen[index] {
			continue
		}
		n, err := c.original.ReadAt(buf, index*client.BlockSize)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !bytes.Equal(buf[:n], zeros[:n]) {
			return fmt.Errorf("block %d of the original is not in the snapshot", index)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) conclude(t client.Task, s client.Snapshot) {
	_, _ = fmt.Fprintln(d.stdout)
	d.printFields(
		"Task", t.ID+" "+t.Status,
		"Snapshot", fmt.Sprintf("%s %s, a volume of %d GiB", s.ID, s.State, s.VolumeSize),
		"Image", fmt.Sprintf("%s, %s", t.Format, size(t.SourceBytes)),
		"Data", fmt.Sprintf("%s in %d blocks; %s added to the store", size(s.DataBytes), s.Blocks, size(s.AddedBytes)),
		"Took", fmt.Sprintf("%.2f s from call to completed, %s", t.Seconds, rate(float64(t.Progress.TotalBytes)/max(t.Seconds, 1e-3))),
	)
	_, _ = fmt.Fprint(d.stdout, `
It works. The demo's service is gone again; to go on with one that stays:

  bin/diskport import IMAGE        one image, no service needed
  bin/diskport serve               the service; then, in another shell:
  eval "$(bin/diskport env)"       settings for the AWS CLI and every SDK
  aws ec2 import-snapshot …        as the AWS user guide has it

README.md says more.
`)
}
