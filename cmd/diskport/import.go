package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type importCmd struct {
	imageFlags
	Description string
	Tag         map[string]string
	Encrypted   bool
	KMSKey      string
	Role        string
	JSON        bool
}

func (c *importCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import IMAGE...",
		Short:   "Import disk images as snapshots.",
		Long:    "Import disk images as snapshots, and print their ids. An IMAGE is a file, s3://bucket/key or https://….",
		Example: "  diskport import disk.vmdk\n  diskport import --encrypted --tag team=web --description \"build 17\" disk.qcow2\n  diskport import --disk vm-disk1.vmdk vm.ova\n  diskport import s3://images/disk.vhd",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
	fs := cmd.Flags()
	section(fs, "How the image is read", c.declare)
	fs.StringVar(&c.Description, "description", "", "Description of the snapshots: `TEXT`.")
	tagsVar(fs, &c.Tag, "tag", "Tag of the import tasks: `KEY=VALUE`. Can be repeated.")
	fs.BoolVar(&c.Encrypted, "encrypted", false, "Encrypt the snapshots, under the account's default key unless --kms-key names another.")
	fs.StringVar(&c.KMSKey, "kms-key", "", "Encrypt under this KMS `KEY`: id, ARN, alias/name or an alias's ARN.")
	fs.StringVar(&c.Role, "role", "", "`NAME` of the service role. Default: diskport-import, made on first use.")
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
	paths, err := absolute(images)
	if err != nil {
		return err
	}
	if c.assembled() && (len(paths) > 1 || strings.Contains(paths[0], "://")) {
		return &usageError{errors.New("--with and --disk are about one image, in a local file")}
	}
	return a.with(ctx, func(s *session) error {
		var failed error
		for i, image := range images {
			task, err := c.importOne(ctx, a, s, paths[i])
			if err != nil {
				return errors.Join(c.reportError(ctx, a, image, err), fmt.Errorf("%s: %w", image, err))
			}
			if task.Status != "completed" {
				failed = errReported
			}
			if err := c.report(a, image, task); err != nil {
				return err
			}
		}
		return failed
	})
}

// absolute makes the paths of local images absolute, since a service in this
// process changes the working directory.
func absolute(images []string) ([]string, error) {
	paths := slices.Clone(images)
	for i, image := range images {
		if strings.Contains(image, "://") {
			continue
		}
		path, err := filepath.Abs(image)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		paths[i] = path
	}
	return paths, nil
}

// assembled reports whether this program puts the disk together, since the service
// gets one object only.
func (c *importCmd) assembled() bool { return len(c.With) > 0 || c.Disk != "" }

func (c *importCmd) importOne(ctx context.Context, a *app, s *session, image string) (client.Task, error) {
	req := client.ImportRequest{Format: c.Format, Description: c.Description, RoleName: c.Role, Tags: c.Tag,
		Encrypted: c.Encrypted || c.KMSKey != "", KMSKey: c.KMSKey}
	switch {
	case c.assembled():
		img, err := c.open(ctx, image)
		if err != nil {
			return client.Task{}, err
		}
		defer img.close()
		req.Disk, req.Format = img, ""
	case strings.Contains(image, "://"):
		req.URL = image
	case s.local != nil: // the service reads the file itself
		url, err := s.local.Handover(image)
		if err != nil {
			return client.Task{}, err
		}
		req.URL = url
	default:
		req.Path = image
	}
	p := a.newProgress(filepath.Base(image))
	defer p.end()
	return s.Import(ctx, req, client.Watcher{
		Uploading: func(done, total int64) { p.step("uploading", done, total) },
		Task:      p.task,
	})
}

func (c *importCmd) report(a *app, image string, t client.Task) error {
	if c.JSON {
		return a.printJSONLine(newImportResult(image, t))
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
