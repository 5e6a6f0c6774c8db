package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// ImportRequest asks for an import of one image, which is a file to upload (File),
// a disk that is put together here (Disk), or something that the service can reach
// itself (URL).
type ImportRequest struct {
	File        *os.File       // open for reading; it stays the caller's
	Disk        diskimage.Disk // in place of File: uploaded as a stream-optimized VMDK
	Name        string         // of File or Disk, for people
	URL         string         // s3://bucket/key, https://…, or of a file that was handed over
	Format      string         // empty: detect
	Description string
	RoleName    string            // empty: ImportName, made on first use
	Tags        map[string]string // of the task and of the snapshot
	Encrypted   bool
	KMSKey      string // id, ARN or alias; empty: the account's default
}

// Watcher is told how an import goes. Both functions may be nil.
type Watcher struct {
	Uploading func(done, total int64) // bytes
	Task      func(Task)
}

// grace is how long an interrupted import may take to undo what it did.
const grace = 15 * time.Second

// Import imports one image and returns its task as it ended. A task that failed
// is not an error of Import. When ctx is cancelled the task is cancelled, and
// the error is ctx's.
func (c *Client) Import(ctx context.Context, req ImportRequest, w Watcher) (Task, error) {
	id, err := c.Start(ctx, req, w)
	if err != nil {
		return Task{}, err
	}
	task, err := c.Watch(ctx, id, func(t Task) {
		if w.Task != nil {
			w.Task(t)
		}
	})
	if ctx.Err() == nil {
		return task, err
	}
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := c.Cancel(cleanup, id); err != nil {
		return task, errors.Join(ctx.Err(), err)
	}
	task, err = c.Watch(cleanup, id, func(Task) {})
	return task, errors.Join(ctx.Err(), err)
}

// Start starts the import of one image and returns the id of its task. What was uploaded is
// an object no longer then, since the task keeps the bytes.
func (c *Client) Start(ctx context.Context, req ImportRequest, w Watcher) (id string, err error) {
	if req.RoleName == "" {
		req.RoleName = ImportName
		if err := c.EnsureRole(ctx, ImportName); err != nil {
			return "", err
		}
	}
	params := req.params()
	if req.File == nil && req.Disk == nil {
		return c.importSnapshot(ctx, req.protocol(), params)
	}
	key := uuid.NewString() + "/" + req.Name
	params.Set("DiskContainer.UserBucket.S3Bucket", ImportName)
	params.Set("DiskContainer.UserBucket.S3Key", key)
	if err := c.EnsureBucket(ctx, ImportName); err != nil {
		return "", err
	}
	if req.Disk != nil {
		err = c.uploadDisk(ctx, req.Disk, key, w)
	} else {
		err = c.uploadFile(ctx, req.File, key, w)
	}
	if err != nil {
		return "", err
	}
	id, err = c.importSnapshot(ctx, req.protocol(), params)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return id, errors.Join(err, c.RemoveObject(ctx, ImportName, key))
}

// params are those of ImportSnapshot, except for where an uploaded image lies.
func (r ImportRequest) params() url.Values {
	params := url.Values{
		"RoleName":    {r.RoleName},
		"ClientToken": {uuid.NewString()}, // a repeated request must not be a second import
	}
	for name, value := range map[string]string{
		"DiskContainer.Url":    r.URL,
		"DiskContainer.Format": r.Format,
		"Description":          r.Description,
		"KmsKeyId":             r.KMSKey,
	} {
		if value != "" {
			params.Set(name, value)
		}
	}
	if r.Encrypted {
		params.Set("Encrypted", "true")
	}
	for n, kind := range []string{"import-snapshot-task", "snapshot"} {
		for i, key := range slices.Sorted(maps.Keys(r.Tags)) {
			spec := fmt.Sprintf("TagSpecification.%d.", n+1)
			params.Set(spec+"ResourceType", kind)
			params.Set(fmt.Sprintf("%sTag.%d.Key", spec, i+1), key)
			params.Set(fmt.Sprintf("%sTag.%d.Value", spec, i+1), r.Tags[key])
		}
	}
	return params
}

// protocol returns what the import is asked for with.
func (r ImportRequest) protocol() protocol {
	if len(r.Tags) > 0 {
		return taggingImports
	}
	return ec2
}

// uploadDisk compresses a disk on its way.
func (c *Client) uploadDisk(ctx context.Context, d diskimage.Disk, key string, w Watcher) error {
	data, err := diskimage.DataBytes(d)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, out := io.Pipe()
	var written error
	var writing sync.WaitGroup
	writing.Go(func() {
		written = vmdk.WriteStream(ctx, out, d, vmdk.StreamOptions{Progress: func(off int64) {
			if w.Uploading != nil {
				w.Uploading(off, d.Size())
			}
		}})
		_ = out.CloseWithError(written) // never fails
	})
	err = c.UploadStream(ctx, ImportName, key, body, data+data/64)
	_ = body.Close() // what is still written is thrown away
	writing.Wait()
	if written != nil && !errors.Is(written, io.ErrClosedPipe) {
		return written
	}
	return err
}

func (c *Client) uploadFile(ctx context.Context, f *os.File, key string, w Watcher) error {
	size, err := f.Seek(0, io.SeekEnd) // of a block device too
	if err != nil {
		return err
	}
	return c.Upload(ctx, ImportName, key, io.NewSectionReader(f, 0, size), size, func(done int64) {
		if w.Uploading != nil {
			w.Uploading(done, size)
		}
	})
}

// importSnapshot asks for an import and returns the id of its task.
func (c *Client) importSnapshot(ctx context.Context, p protocol, params url.Values) (id string, err error) {
	var out struct {
		ID string `xml:"importTaskId"`
	}
	if err := c.query(ctx, p, "ImportSnapshot", params, &out); err != nil {
		return "", fmt.Errorf("importing: %w", err)
	}
	if out.ID == "" {
		return "", errors.New("importing: the service's answer names no task")
	}
	return out.ID, nil
}

// IsElsewhere reports whether err says that the service does not read what a Url names: it
// is in no S3 that it knows.
func IsElsewhere(err error) bool {
	var refused *APIError
	return errors.As(err, &refused) && refused.Code == "InvalidParameter" && refused.Message == "Invalid S3 source location"
}
