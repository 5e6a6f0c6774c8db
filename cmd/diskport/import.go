package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type importCmd struct {
	imageFlags
	Description string
	Name        string
	Tag         map[string]string
	Encrypted   bool
	KMSKey      string
	Role        string
	Wait        bool
	JSON        bool
}

func (c *importCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import IMAGE...",
		Short: "Import disk images as snapshots.",
		Long: "Import disk images as snapshots, and print their ids. An IMAGE is a file; a folder or an OVF with the disks of an exported machine; an OVA with one disk or several; " +
			"- for standard input; s3://bucket/key or the https address of an object, which the service reads itself; any other https address, which this program downloads. " +
			"The files of a split VMDK are found beside it. Compressed images, and tar archives of one disk, are unpacked.\n\n" +
			"A service on this machine, and the one that is started if none runs, reads files where they are. Others get them by upload.",
		Example: "  diskport import disk.vmdk\n  diskport import --name web-17 --tag team=web --encrypted disk.qcow2\n  diskport import vm.ova\n  diskport import --disk vm-disk1.vmdk vm.ova\n  diskport import exported-vm/\n  ssh host cat /dev/vg/web | diskport import --name web -\n  diskport import https://images.example.com/debian.qcow2\n  diskport import s3://images/disk.vhd",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
	fs := cmd.Flags()
	section(fs, "How the image is read", c.declare)
	fs.StringVar(&c.Description, "description", "", "Description of the snapshots: `TEXT`.")
	fs.StringVar(&c.Name, "name", "", "`NAME` of the snapshot, and of its import task: their tag Name.")
	setEnv(fs, "name")
	tagsVar(fs, &c.Tag, "tag", "Tag of the snapshots, and of their import tasks: `KEY=VALUE`. Can be repeated.")
	fs.BoolVar(&c.Encrypted, "encrypted", false, "Encrypt the snapshots, under the account's default key unless --kms-key names another.")
	fs.StringVar(&c.KMSKey, "kms-key", "", "Encrypt under this KMS `KEY`: id, ARN, alias/name or an alias's ARN.")
	fs.StringVar(&c.Role, "role", "", "`NAME` of the service role. Default: diskport-import, made on first use.")
	fs.BoolVar(&c.Wait, "wait", true, "Wait until each import has ended. --wait=false prints the ids of the tasks instead.")
	fs.BoolVar(&c.JSON, "json", false, "Print a line of JSON for each image.")
	return cmd
}

// importResult is what import --json prints for an image.
type importResult struct {
	Image        string        `json:"image"`
	ImportTaskID string        `json:"importTaskId"`
	SnapshotID   string        `json:"snapshotId"`
	Status       string        `json:"status"`
	Reason       string        `json:"reason"`           // why it failed
	Detail       string        `json:"detail,omitempty"` // what of the image, or of the service, was the cause
	Hint         string        `json:"hint,omitempty"`   // what to do about it
	Format       string        `json:"format"`
	VirtualBytes int64         `json:"virtualBytes"`
	VolumeSize   int64         `json:"volumeSize"` // GiB
	SourceBytes  int64         `json:"sourceBytes"`
	StoredBytes  int64         `json:"storedBytes"`
	Blocks       client.Blocks `json:"blocks"`
	Seconds      float64       `json:"seconds"`
}

// run imports images, one after the other.
func (c *importCmd) run(ctx context.Context, a *app, images []string) error {
	inputs, err := c.inputs(images)
	if err != nil {
		return err
	}
	if err := c.nameIt(len(inputs)); err != nil {
		return err
	}
	return a.withLasting(ctx, func(s *session) error {
		if s.local != nil && !c.Wait {
			return errors.New("--wait=false needs a service that goes on when this command ends: start one with diskport serve")
		}
		if c.KMSKey != "" {
			if err := s.CheckKey(ctx, c.KMSKey); err != nil {
				return err
			}
		}
		var failed error
		for _, in := range inputs {
			task, err := c.importOne(ctx, a, s, in)
			if ctx.Err() != nil {
				return errors.Join(c.reportError(ctx, a, in.label, ctx.Err()), fmt.Errorf("%s: %w", in.label, err))
			}
			if err != nil {
				err = errors.Join(c.reportError(ctx, a, in.label, err), fmt.Errorf("%s: %w", in.label, err))
				if len(inputs) == 1 {
					return err
				}
				a.note("diskport: %s", explain(ctx, withSpace(ctx, s, err)))
			}
			if err != nil {
				failed = errReported
				continue
			}
			if task.Failure != nil {
				failed = errReported
				c.explainFull(ctx, a, s, *task.Failure)
			}
			if err := c.report(a, in.label, task); err != nil {
				return err
			}
		}
		return failed
	})
}

// nameIt adds the tag that --name stands for.
func (c *importCmd) nameIt(images int) error {
	if c.Name == "" {
		return nil
	}
	if images > 1 {
		return &usageError{fmt.Errorf("--name is for one snapshot, and there are %d images: give them tags, or import them one by one", images)}
	}
	if _, twice := c.Tag["Name"]; twice {
		return &usageError{errors.New("--name is the tag Name, which --tag gives too")}
	}
	c.Tag = maps.Clone(c.Tag)
	if c.Tag == nil {
		c.Tag = map[string]string{}
	}
	c.Tag["Name"] = c.Name
	return nil
}

// explainFull says how things stand on a disk that an import found too full.
func (c *importCmd) explainFull(ctx context.Context, a *app, s *session, f client.Failure) {
	if f.Reason != "store-full" {
		return
	}
	if h, err := s.Health(ctx); err == nil {
		a.note("%s", spaceState(h))
	}
}

// handovers is how often a file is handed over at most: a service that restarts forgets it.
const handovers = 3

// importOne imports one disk. What a service on this machine can read as it is, is handed
// over to it; everything else is uploaded.
func (c *importCmd) importOne(ctx context.Context, a *app, s *session, in input) (client.Task, error) {
	p := a.newProgress(in.name())
	defer p.end()
	req := client.ImportRequest{Name: in.name(), Format: c.Format, Description: c.Description, RoleName: c.Role, Tags: c.Tag,
		Encrypted: c.Encrypted || c.KMSKey != "", KMSKey: c.KMSKey}
	switch {
	case in.assembled:
		img, err := in.parts.open(ctx, in.path)
		if err != nil {
			return client.Task{}, err
		}
		defer img.close()
		req.Disk, req.Format = img, ""
		return c.ask(ctx, s, req, p, func() {})
	case in.isURL():
		req.URL = in.path
		task, err := c.ask(ctx, s, req, p, func() {})
		if !client.IsElsewhere(err) || !strings.HasPrefix(in.path, "http") {
			return task, err
		}
		req.URL = ""
	}
	f, err := a.openInput(ctx, in, c.imageFlags, p)
	if err != nil {
		return client.Task{}, err
	}
	defer f.Close()
	for n := 1; ; n++ {
		task, err := c.importFile(ctx, s, req, f, p)
		if err != nil || n == handovers || task.Failure == nil || task.Failure.Reason != "handover-gone" {
			return task, err
		}
		a.note("%s: the service has restarted; handing the file over once more", in.label)
	}
}

// importFile imports an open file.
func (c *importCmd) importFile(ctx context.Context, s *session, req client.ImportRequest, f *os.File, p *progress) (client.Task, error) {
	url, done, err := s.handOver(ctx, f, req.Name)
	switch {
	case errors.Is(err, client.ErrNoHandover):
		req.File = f
		return c.ask(ctx, s, req, p, func() {})
	case err != nil:
		return client.Task{}, err
	}
	defer done()
	req.URL = url
	return c.ask(ctx, s, req, p, done) // others may hand over theirs
}

// ask asks for an import, and waits for its end unless that is not wanted: then the task has
// nothing but its id. accepted is called, perhaps more than once, when there is a task.
func (c *importCmd) ask(ctx context.Context, s *session, req client.ImportRequest, p *progress, accepted func()) (client.Task, error) {
	w := client.Watcher{
		Uploading: func(done, total int64) { p.step("uploading", done, total) },
		Task: func(t client.Task) {
			accepted()
			p.task(t)
		},
	}
	if c.Wait {
		return s.Import(ctx, req, w)
	}
	id, err := s.Start(ctx, req, w)
	if err != nil {
		return client.Task{}, err
	}
	return s.Task(ctx, id)
}

func (c *importCmd) report(a *app, image string, t client.Task) error {
	if c.JSON {
		return a.printJSONLine(newImportResult(image, t))
	}
	if !c.Wait {
		_, err := fmt.Fprintln(a.stdout, t.ID)
		return err
	}
	a.summary(image, t)
	if t.SnapshotID == "" {
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, t.SnapshotID)
	return err
}

// reportError says in JSON that the import of an image failed without a task that
// knows why.
func (c *importCmd) reportError(ctx context.Context, a *app, image string, err error) error {
	if !c.JSON {
		return nil
	}
	return a.printJSONLine(importResult{Image: image, Status: "error", Reason: explain(ctx, err)})
}

// summary prints the result of an import for people.
func (a *app) summary(image string, t client.Task) {
	for _, w := range t.Warnings {
		a.note("%s: warning: %s", image, w)
	}
	if f := t.Failure; f != nil {
		a.note("%s: not imported: %s", image, f.Message)
		for _, more := range []string{f.Detail, f.Hint} {
			if more != "" {
				a.note("  %s", more)
			}
		}
		return
	}
	p := t.Progress
	a.note("%s: %s, a disk of %s holding %s of data, in %.1f s (%s)", image, t.Format,
		size(t.VirtualBytes), size(p.TotalBytes), t.Seconds, rate(float64(p.TotalBytes)/max(t.Seconds, 1e-3)))
	a.note("  512 KiB blocks: %s; %s new in the store", blockCounts(p.Blocks), size(p.StoredBytes))
}

func newImportResult(image string, t client.Task) importResult {
	r := importResult{
		Image:        image,
		ImportTaskID: t.ID,
		SnapshotID:   t.SnapshotID,
		Status:       t.Status,
		Format:       t.Format,
		VirtualBytes: t.VirtualBytes,
		VolumeSize:   t.VolumeSize(),
		SourceBytes:  t.SourceBytes,
		StoredBytes:  t.Progress.StoredBytes,
		Blocks:       t.Progress.Blocks,
		Seconds:      t.Seconds,
	}
	if f := t.Failure; f != nil {
		r.Reason, r.Detail, r.Hint = f.Message, f.Detail, f.Hint
	}
	return r
}
