package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/client"
)

type importCmd struct {
	Images []string `arg:"" name:"image" help:"Disk images: files, s3://bucket/key or https://…"`
	imageFlags
	Description string            `placeholder:"TEXT" help:"Description of the snapshots."`
	Tag         map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Tags of the import tasks."`
	Encrypted   bool              `help:"Encrypt the snapshots, under the account's default key unless --kms-key names another."`
	KMSKey      string            `name:"kms-key" placeholder:"KEY" help:"Encrypt under this KMS key: id, ARN, alias/name or an alias's ARN."`
	Role        string            `placeholder:"NAME" help:"Service role. Default: diskport-import, made on first use."`
	JSON        bool              `name:"json" help:"Print one JSON object for each image."`
}

// importResult is what import --json prints for an image.
type importResult struct {
	Image        string        `json:"image"`
	ImportTaskID string        `json:"importTaskId"`
	SnapshotID   string        `json:"snapshotId"`
	Status       string        `json:"status"`
	Reason       string        `json:"reason"`
	Format       string        `json:"format"`
	VirtualBytes int64         `json:"virtualBytes"`
	VolumeSize   int64         `json:"volumeSize"` // GiB
	SourceBytes  int64         `json:"sourceBytes"`
	StoredBytes  int64         `json:"storedBytes"`
	Blocks       client.Blocks `json:"blocks"`
	Seconds      float64       `json:"seconds"`
}

// Run imports images, one after the other.
func (c *importCmd) Run(ctx context.Context, a *app) error {
	paths, err := absolute(c.Images)
	if err != nil {
		return err
	}
	if c.assembled() && (len(paths) > 1 || strings.Contains(paths[0], "://")) {
		return &usageError{errors.New("--with and --disk are about one image, in a local file")}
	}
	return a.with(ctx, func(s *session) error {
		var failed error
		for i, image := range c.Images {
			task, err := c.importOne(ctx, a, s, paths[i])
			if err != nil {
				return fmt.Errorf("%s: %w", image, err)
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
		return a.printJSON(newImportResult(image, t))
	}
	a.summary(image, t)
	if t.SnapshotID == "" {
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, t.SnapshotID)
	return err
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
	if t.Failure != nil {
		r.Reason = t.Failure.Message
	}
	return r
}
