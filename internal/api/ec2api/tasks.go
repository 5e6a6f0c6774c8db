package ec2api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

type describeTasksRequest struct {
	common
	paged
	filtered
	ImportTaskId []string
}

var taskFields = fields[taskAnswer]{
	named: map[string]func(taskAnswer) []string{
		"task-state": func(t taskAnswer) []string { return []string{t.Detail.Status} },
		"tag-key":    func(t taskAnswer) []string { return tagKeys(t.tags()) },
	},
	tags: taskAnswer.tags,
}

var describeTasksRules = slices.Concat(
	[]rule[describeTasksRequest]{pageRule[describeTasksRequest](1, 0)},
	taskIDRules(awsid.IsTask, func(r describeTasksRequest) []string { return r.ImportTaskId }),
	filterRules[taskAnswer, describeTasksRequest](taskFields),
)

// taskIDRules are the validation rows of ImportTaskId.N.
func taskIDRules[R any](good func(string) bool, ids func(R) []string) []rule[R] {
	return []rule[R]{
		few("ImportTaskId", func(r R) int { return len(ids(r)) }),
		{
			field: "ImportTaskId.N", code: taskMissing, message: "Task ID %s is malformed",
			broken: func(_ call, r R) (string, bool) {
				for _, id := range ids(r) {
					if !good(id) {
						return id, true
					}
				}
				return "", false
			},
		},
	}
}

type describeTasksAnswer struct {
	Tasks     ec2query.List[taskAnswer] `xml:"importSnapshotTaskSet"`
	NextToken string                    `xml:"nextToken,omitempty"`
}

func describeTasks(ctx context.Context, c call, r describeTasksRequest) (any, error) {
	shown, next, err := c.listTasks(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(shown) == 1 && shown[0].state == importtask.Active && c.held(ctx, r.paged, func(ctx context.Context) { _, _ = c.Tasks.Wait(ctx, c.Home(), shown[0].ID) }) {
		if shown, next, err = c.listTasks(ctx, r); err != nil {
			return nil, err
		}
	}
	return describeTasksAnswer{Tasks: shown, NextToken: next}, nil
}

// held makes one poll of many, since a client that polls one running task waits for its
// end. It reports whether it has waited; the list is read once more then, so what wait
// found does not matter.
func (c call) held(ctx context.Context, p paged, wait func(context.Context)) bool {
	if !p.whole() || c.HoldPoll <= 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, c.HoldPoll)
	defer cancel()
	wait(ctx)
	return true
}

// listTasks returns a page of the tasks that match ids and filters.
func (c call) listTasks(ctx context.Context, r describeTasksRequest) ([]taskAnswer, string, error) {
	wanted := wanted{r.ImportTaskId, func(ctx context.Context, ids []string) error {
		found, err := c.Tasks.Tasks(ctx, c.Home(), importtask.Filter{IDs: ids}, listing.Place{}, len(ids))
		if err != nil {
			return err
		}
		return missing(ids, found, func(t importtask.Task) string { return t.ID }, importtask.ErrNotFound)
	}}
	if err := wanted.check(ctx); err != nil {
		return nil, "", err
	}
	ids, err := c.ids(ctx, r.ImportTaskId, r.filtered, "")
	if err != nil {
		return nil, "", err
	}
	f := importtask.Filter{IDs: ids, States: among(r.filtered, "task-state", importtask.States(), c.status)}
	return page(ctx, c, r.paged, list[taskAnswer]{
		next: shownAs(c.showTask, func(ctx context.Context, after listing.Place, n int) ([]importtask.Task, error) {
			return c.Tasks.Tasks(ctx, c.Home(), f, after, n)
		}),
		place:  func(t taskAnswer) string { return listing.At(t.created, t.ID).String() },
		match:  taskFields.matching(r.Filter),
		wanted: wanted,
	})
}

// missing fails with the first of the ids that no entry of a list has.
func missing[T any](ids []string, list []T, id func(T) string, notFound error) error {
	found := map[string]bool{}
	for _, t := range list {
		found[id(t)] = true
	}
	gone := slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(ids))), func(want string) bool { return found[want] })
	if len(gone) == 0 {
		return nil
	}
	return aboutAll(gone, notFound)
}

type cancelRequest struct {
	common
	ImportTaskId string
	CancelReason string
}

func cancelGrants(c call, r cancelRequest) []grant {
	arn := awsid.TaskARN(c.Home(), orDefault(r.ImportTaskId, "*"))
	if awsid.IsImageTask(r.ImportTaskId) {
		arn = awsid.ImageTaskARN(c.Home(), r.ImportTaskId)
	}
	return []grant{{action: "ec2:CancelImportTask", resources: []string{arn}}}
}

var cancelRules = []rule[cancelRequest]{
	needed("ImportTaskId", func(r cancelRequest) string { return r.ImportTaskId }),
	{
		field: "ImportTaskId", code: "InvalidConversionTaskId.Malformed", message: "Task ID %s is malformed",
		broken: func(_ call, r cancelRequest) (string, bool) {
			return r.ImportTaskId, !awsid.IsTask(r.ImportTaskId) && !awsid.IsImageTask(r.ImportTaskId)
		},
	},
}

type cancelAnswer struct {
	ImportTaskId  string `xml:"importTaskId"`
	PreviousState string `xml:"previousState"`
	State         string `xml:"state"`
}

func cancelTask(ctx context.Context, c call, r cancelRequest) (any, error) {
	previous, err := c.Imports.Cancel(ctx, c.Home(), r.ImportTaskId, r.CancelReason)
	if err != nil {
		return nil, about(r.ImportTaskId, err)
	}
	return cancelAnswer{r.ImportTaskId, string(previous), string(importtask.Deleting)}, nil
}

// taskAnswer is a task as ImportSnapshot and DescribeImportSnapshotTasks show it.
type taskAnswer struct {
	Description string                   `xml:"description,omitempty"`
	ID          string                   `xml:"importTaskId"`
	Detail      taskDetail               `xml:"snapshotTaskDetail"`
	Tags        ec2query.List[tagAnswer] `xml:"tagSet"`

	state   importtask.State
	created time.Time
	tagged  tag.Set
}

func (t taskAnswer) tags() tag.Set { return t.tagged }

type taskDetail struct {
	Description   string          `xml:"description,omitempty"`
	DiskImageSize ec2query.Double `xml:"diskImageSize"`       // bytes of the source object
	Encrypted     bool            `xml:"encrypted,omitempty"` // never shown as false
	Format        string          `xml:"format,omitempty"`
	KmsKeyID      string          `xml:"kmsKeyId,omitempty"`
	Progress      string          `xml:"progress,omitempty"`
	SnapshotID    string          `xml:"snapshotId,omitempty"`
	Status        string          `xml:"status"`
	StatusMessage string          `xml:"statusMessage,omitempty"`
	URL           string          `xml:"url,omitempty"`
	UserBucket    *userBucket     `xml:"userBucket"`
}

type userBucket struct {
	S3Bucket string `xml:"s3Bucket"`
	S3Key    string `xml:"s3Key"`
}

// showTask returns a task as it is shown. Contract §1.7 and §2.2 say which elements
// there are in which state.
func (c call) showTask(t importtask.Task) taskAnswer {
	d := taskDetail{
		Description: t.DiskDescription,
		Encrypted:   t.Encrypted,
		Format:      t.Format,
		KmsKeyID:    t.KMSKey,
		Status:      c.status(t.State),
		URL:         c.Tasks.URL(t),
	}
	looked := t.State == importtask.Completed || t.Phase != importtask.Waiting && t.Phase != ""
	switch t.State {
	case importtask.Active:
		d.Progress, d.StatusMessage = strconv.Itoa(progress(t)), c.stage(t.Phase, t.Retry, t.Waiting)
	case importtask.Completed:
		d.SnapshotID = t.SnapshotID
	case importtask.Deleting, importtask.Deleted:
		d.StatusMessage = t.Failure.Message
		looked = !t.StartedAt.IsZero() // without a plan validation failed, and no size is shown
	}
	if looked {
		d.DiskImageSize = ec2query.Double(t.SourceBytes)
	}
	if t.Bucket != "" && (d.URL == "" || looked) {
		d.UserBucket = &userBucket{t.Bucket, t.Key}
	}
	return taskAnswer{Description: t.Description, ID: t.ID, Detail: d, Tags: showTags(t.Tags), state: t.State, created: t.CreatedAt, tagged: t.Tags}
}

// stage says what an active task does, and what keeps it from that, for clients that show
// nothing else.
func (c call) stage(p importtask.Phase, r importtask.Retry, w importtask.Wait) string {
	what, _, _ := strings.Cut(w.For, ":")
	switch {
	case c.Strict:
	case what != "":
		return string(p) + "; waiting for " + what
	case r.Failures > 0:
		return string(p) + "; retrying: " + r.Cause
	}
	return string(p)
}

// status returns a state as it is shown.
func (c call) status(s importtask.State) string {
	if s == importtask.Deleted {
		return c.FailedStatus
	}
	return string(s)
}

// The percentages that are shown for the phases before and after converting.
const (
	percentValidating = 3
	percentConverting = 5
	percentMost       = 99 // 100 means completed
)

// progress returns the percentage of an Active task.
func progress(t importtask.Task) int {
	switch t.Phase {
	case importtask.Waiting, "":
		return 0
	case importtask.Validating, importtask.Validated:
		return percentValidating
	case importtask.Completing:
		return percentMost
	}
	total := t.Bytes()
	if total <= 0 {
		return percentConverting
	}
	done := float64(t.Counts.Done) / float64(total)
	return max(percentConverting, min(percentMost, int(done*100)))
}

func ec2Double(f float64) string { return fmt.Sprint(ec2query.Double(f)) }
