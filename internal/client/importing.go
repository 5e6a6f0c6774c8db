package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/uuid"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// ImportRequest asks for an import of one image, which is a file to upload (Path),
// a disk that is put together here (Disk), or something the service reaches by
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

// Watcher hears how an import goes. Both functions may be nil.
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
	in := &ec2.ImportSnapshotInput{
		RoleName:      aws.String(req.RoleName),
		ClientToken:   aws.String(uuid.NewString()), // a repeated request must not be a second import
		DiskContainer: &types.SnapshotDiskContainer{Url: optional(req.URL), Format: optional(req.Format)},
		Description:   optional(req.Description),
		KmsKeyId:      optional(req.KMSKey),
	}
	if req.Encrypted {
		in.Encrypted = aws.Bool(true)
	}
	if len(req.Tags) > 0 {
		in.TagSpecifications = []types.TagSpecification{{
			ResourceType: types.ResourceTypeImportSnapshotTask,
			Tags:         ec2Tags(req.Tags),
		}}
	}
	if req.Path == "" && req.Disk == nil {
		return c.importAndWatch(ctx, in, w)
	}
	name := filepath.Base(req.Path)
	if req.Disk != nil {
		name = "disk.vmdk"
	}
	key := uuid.NewString() + "/" + name
	in.DiskContainer.UserBucket = &types.UserBucket{S3Bucket: aws.String(ImportName), S3Key: aws.String(key)}
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
	task, err := c.importAndWatch(ctx, in, w)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return task, errors.Join(err, c.RemoveObject(ctx, ImportName, key))
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
	_ = body.Close() // what is written from here on is for nobody
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

func (c *Client) importAndWatch(ctx context.Context, in *ec2.ImportSnapshotInput, w Watcher) (Task, error) {
	out, err := c.EC2.ImportSnapshot(ctx, in)
	if err != nil {
		return Task{}, fmt.Errorf("importing: %w", err)
	}
	id := aws.ToString(out.ImportTaskId)
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

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

func ec2Tags(m map[string]string) []types.Tag {
	tags := make([]types.Tag, 0, len(m))
	for k, v := range m {
		tags = append(tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	return tags
}
