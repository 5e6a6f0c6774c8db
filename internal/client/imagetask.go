package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ImageTask is the import of a machine image in full detail.
type ImageTask struct {
	ID           string            `json:"id"`
	Region       string            `json:"region"`
	Status       string            `json:"status"` // as of a Task
	Phase        string            `json:"phase,omitempty"`
	Description  string            `json:"description,omitempty"`
	ImageID      string            `json:"imageId,omitempty"`
	Architecture string            `json:"architecture,omitempty"`
	BootMode     string            `json:"bootMode,omitempty"`
	Guest        string            `json:"guest,omitempty"` // as its OVF has it
	Notes        []string          `json:"notes"`           // what the import does not do
	Progress     Progress          `json:"progress"`        // of all disks together
	Failure      *Failure          `json:"failure,omitempty"`
	Retry        *Retry            `json:"retry,omitempty"`   // of what is about all disks
	Waiting      *Waiting          `json:"waiting,omitempty"` // likewise
	Disks        []ImageDisk       `json:"disks"`
	Tags         map[string]string `json:"tags,omitempty"`
	CreatedAt    time.Time         `json:"createdAt"`
	EndedAt      *time.Time        `json:"endedAt,omitempty"`
	Seconds      float64           `json:"seconds"`
}

// ImageDisk is a disk of an image. A snapshot that was there before has no Task.
type ImageDisk struct {
	Device     string `json:"device"`
	SnapshotID string `json:"snapshotId,omitempty"`
	Member     string `json:"member,omitempty"` // its file in the OVA
	Task       *Task  `json:"task,omitempty"`
}

// Summary is the task as one of a disk that has all data of the image.
func (t ImageTask) Summary() Task {
	sum := Task{
		ID: t.ID, Region: t.Region, Status: t.Status, Phase: t.Phase, Description: t.Description, Progress: t.Progress, Failure: t.Failure,
		Retry: t.Retry, Waiting: t.Waiting,
		Tags: t.Tags, CreatedAt: t.CreatedAt, EndedAt: t.EndedAt, Seconds: t.Seconds,
	}
	for _, d := range t.Disks {
		if d.Task == nil {
			continue
		}
		sum.VirtualBytes += d.Task.VirtualBytes
		if sum.Retry == nil {
			sum.Retry = d.Task.Retry
		}
		if sum.Waiting == nil {
			sum.Waiting = d.Task.Waiting
		}
	}
	return sum
}

// IsImageTask reports whether an id is that of the import of a machine image.
func IsImageTask(id string) bool { return strings.HasPrefix(id, "import-ami-") }

// ImageTasks lists the account's imports of machine images in order of creation.
func (c *Client) ImageTasks(ctx context.Context) (tasks []ImageTask, err error) {
	return taskPages[ImageTask](ctx, c, "image-tasks")
}

// taskPages returns all entries of a list of tasks.
func taskPages[T any](ctx context.Context, c *Client, list string) ([]T, error) {
	tasks := []T{} // which --json prints as a list
	for next, first := "", true; first || next != ""; first = false {
		var page struct {
			Tasks []T
			Next  string
		}
		if err := c.call(ctx, http.MethodGet, pageAfter(list, next), &page); err != nil {
			return nil, fmt.Errorf("listing tasks: %w", err)
		}
		tasks, next = append(tasks, page.Tasks...), page.Next
	}
	return tasks, nil
}

// ImageTask returns the import of one machine image.
func (c *Client) ImageTask(ctx context.Context, id string) (ImageTask, error) {
	var t ImageTask
	if err := c.call(ctx, http.MethodGet, "image-tasks/"+id, &t); err != nil {
		return ImageTask{}, fmt.Errorf("looking up task %s: %w", id, err)
	}
	return t, nil
}

// WatchImage is Watch for the import of a machine image.
func (c *Client) WatchImage(ctx context.Context, id string, seen func(ImageTask)) (ImageTask, error) {
	return watch(ctx, c, "image-tasks", id, seen, func(t ImageTask) bool { return t.Summary().Ended() })
}
