package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/uuid"
)

// ImportRequest asks for an import of one image, which is either a file to
// upload (Path) or something the service reaches by itself (URL).
type ImportRequest struct {
	Path        string // local file
	URL         string // s3://bucket/key, https://…, or a handed-over "diskport:" token
	Format      string // empty: detect
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
	if req.Path == "" {
		return c.importAndWatch(ctx, in, w)
	}
	key := uuid.NewString() + "/" + filepath.Base(req.Path)
	in.DiskContainer.UserBucket = &types.UserBucket{S3Bucket: aws.String(ImportName), S3Key: aws.String(key)}
	if err := c.uploadFile(ctx, req.Path, key, w); err != nil {
		return Task{}, err
	}
	task, err := c.importAndWatch(ctx, in, w)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return task, errors.Join(err, c.RemoveObject(ctx, ImportName, key))
}

func (c *Client) uploadFile(ctx context.Context, path, key string, w Watcher) error {
	if err := c.EnsureBucket(ctx, ImportName); err != nil {
		return err
	}
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
