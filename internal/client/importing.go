package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// ImportRequest asks for an import of one image, which is a file to upload (Path),
// a disk that is put together here (Disk), or something that the service can reach
// itself (URL).
type ImportRequest struct {
	Path        string         // local file
	Disk        diskimage.Disk // in place of Path: uploaded as a stream-optimized VMDK
	URL         string         // s3://bucket/key, https://…, or a handed-over "diskport:" token
	Format      string         // empty: detect
	Description string
	RoleName    string // empty: ImportName, made on first use
	Tags        map[string]string
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
	if req.RoleName == "" {
		req.RoleName = ImportName
		if err := c.EnsureRole(ctx, ImportName); err != nil {
			return Task{}, err
		}
	}
	params := req.params()
	if req.Path == "" && req.Disk == nil {
		return c.importAndWatch(ctx, params, w)
	}
	name := filepath.Base(req.Path)
	if req.Disk != nil {
		name = "disk.vmdk"
	}
	key := uuid.NewString() + "/" + name
	params.Set("DiskContainer.UserBucket.S3Bucket", ImportName)
	params.Set("DiskContainer.UserBucket.S3Key", key)
	if err := c.EnsureBucket(ctx, ImportName); err != nil {
		return Task{}, err
	}
	var err error
	if req.Disk != nil {
		err = c.uploadDisk(ctx, req.Disk, key, w)
	} else {
		err = c.uploadFile(ctx, req.Path, key, w)
	}
	if err != nil {
		return Task{}, err
	}
	task, err := c.importAndWatch(ctx, params, w)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return task, errors.Join(err, c.RemoveObject(ctx, ImportName, key))
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
	for i, key := range slices.Sorted(maps.Keys(r.Tags)) {
		params.Set("TagSpecification.1.ResourceType", "import-snapshot-task")
		tag := fmt.Sprintf("TagSpecification.1.Tag.%d.", i+1)
		params.Set(tag+"Key", key)
		params.Set(tag+"Value", r.Tags[key])
	}
	return params
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

func (c *Client) uploadFile(ctx context.Context, path, key string, w Watcher) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return c.Upload(ctx, ImportName, key, f, info.Size(), func(done int64) {
		if w.Uploading != nil {
			w.Uploading(done, info.Size())
		}
	})
}

func (c *Client) importAndWatch(ctx context.Context, params url.Values, w Watcher) (Task, error) {
	var out struct {
		ID string `xml:"importTaskId"`
	}
	if err := c.query(ctx, ec2, "ImportSnapshot", params, &out); err != nil {
		return Task{}, fmt.Errorf("importing: %w", err)
	}
	if out.ID == "" {
		return Task{}, errors.New("importing: the service's answer names no task")
	}
	id := out.ID
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
