package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Task is an import task in full detail.
type Task struct {
	ID           string            `json:"id"`
	Region       string            `json:"region"`
	Status       string            `json:"status"` // active, completed, deleting, deleted
	Phase        string            `json:"phase,omitempty"`
	Description  string            `json:"description,omitempty"`
	Format       string            `json:"format,omitempty"`
	Bucket       string            `json:"bucket,omitempty"`
	Key          string            `json:"key,omitempty"`
	SourceName   string            `json:"sourceName,omitempty"` // of its file
	SnapshotID   string            `json:"snapshotId,omitempty"`
	VirtualBytes int64             `json:"virtualBytes"`
	SourceBytes  int64             `json:"sourceBytes"`
	Progress     Progress          `json:"progress"`
	Failure      *Failure          `json:"failure,omitempty"`
	Retry        *Retry            `json:"retry,omitempty"`
	Waiting      *Waiting          `json:"waiting,omitempty"`
	Warnings     []string          `json:"warnings,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	CreatedAt    time.Time         `json:"createdAt"`
	StartedAt    *time.Time        `json:"startedAt,omitempty"`
	EndedAt      *time.Time        `json:"endedAt,omitempty"`
	Seconds      float64           `json:"seconds"`
}

// Progress is how far a task is.
type Progress struct {
	Percent        int     `json:"percent"`
	DoneBytes      int64   `json:"doneBytes"`  // of TotalBytes
	TotalBytes     int64   `json:"totalBytes"` // data of the disk
	ReadBytes      int64   `json:"readBytes"`  // from the source
	StoredBytes    int64   `json:"storedBytes"`
	Blocks         Blocks  `json:"blocks"`
	Ranges         int     `json:"ranges"`
	RangesDone     int     `json:"rangesDone"`
	BytesPerSecond float64 `json:"bytesPerSecond"`
}

// Blocks counts the 512 KiB blocks of an import.
type Blocks struct {
	Data         int64 `json:"data"`
	Zero         int64 `json:"zero"`
	Deduplicated int64 `json:"deduplicated"`
}

// Retry is what a task is trying again, and since when.
type Retry struct {
	Cause    string     `json:"cause"`
	Failures int        `json:"failures"` // in a row
	Since    time.Time  `json:"since"`
	Next     *time.Time `json:"next,omitempty"` // when it is tried again; nil: it is being tried
}

// Waiting is what has to return before a task goes on, and since when.
type Waiting struct {
	For   string    `json:"for"`
	Since time.Time `json:"since"`
}

// Failure says why a task ended without a snapshot.
type Failure struct {
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Detail  string `json:"detail,omitempty"`
	Offset  *int64 `json:"offset,omitempty"` // bytes into the image
	Hint    string `json:"hint,omitempty"`
}

// Ended reports whether nothing will happen to the task any more.
func (t Task) Ended() bool { return t.Status == "completed" || t.Status == "deleted" }

// VolumeSize returns the GiB of the snapshot's volume, 0 while unknown.
func (t Task) VolumeSize() int64 {
	if t.VirtualBytes == 0 {
		return 0
	}
	return (t.VirtualBytes + 1<<30 - 1) >> 30
}

// Tasks lists the account's tasks in order of creation.
func (c *Client) Tasks(ctx context.Context) (tasks []Task, err error) {
	return taskPages[Task](ctx, c, "tasks")
}

// pageAfter returns the path of a page of a list; next is the token that came with
// the page before it.
func pageAfter(list, next string) string {
	if next == "" {
		return list
	}
	return list + "?" + url.Values{"after": {next}}.Encode()
}

// Task returns one task.
func (c *Client) Task(ctx context.Context, id string) (Task, error) {
	var t Task
	if err := c.call(ctx, http.MethodGet, "tasks/"+id, &t); err != nil {
		return Task{}, fmt.Errorf("looking up task %s: %w", id, err)
	}
	return t, nil
}

// Cancel cancels a task of either kind.
func (c *Client) Cancel(ctx context.Context, id string) error {
	if err := c.query(ctx, ec2, "CancelImportTask", url.Values{"ImportTaskId": {id}}, nil); err != nil {
		return fmt.Errorf("cancelling task %s: %w", id, err)
	}
	return nil
}

// reconnect is how long Watch waits before it asks again when its stream breaks,
// and patience is how often in a row it does, since a service that restarts goes on
// with its tasks.
const (
	reconnect = 500 * time.Millisecond
	patience  = 60
)

// Watch calls seen with the task, and again whenever it changes, and returns the
// task as it ended.
func (c *Client) Watch(ctx context.Context, id string, seen func(Task)) (Task, error) {
	return watch(ctx, c, "tasks", id, seen, Task.Ended)
}

// watch watches an entry of a list of tasks.
func watch[T any](ctx context.Context, c *Client, list, id string, seen func(T), ended func(T) bool) (T, error) {
	var last T
	for broken := 0; ; broken++ {
		err := c.stream(ctx, http.MethodGet, list+"/"+id+"/events", func(_ string, data []byte) error {
			broken = 0
			var t T
			if err := json.Unmarshal(data, &t); err != nil {
				return fmt.Errorf("reading an event: %w", err)
			}
			last = t
			seen(t)
			return nil
		})
		var answered *Error
		switch {
		case ended(last):
			return last, nil
		case ctx.Err() != nil:
			return last, ctx.Err()
		case errors.As(err, &answered) && answered.Status < 500:
			return last, fmt.Errorf("watching task %s: %w", id, err)
		case broken >= patience:
			return last, fmt.Errorf("watching task %s: %w", id, errors.Join(err, errInterrupted))
		}
		if err := sleep(ctx, reconnect); err != nil {
			return last, err
		}
	}
}

// errInterrupted reports a stream that ended too early.
var errInterrupted = errors.New("the service stopped answering before the end")

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
