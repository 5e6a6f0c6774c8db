package ec2api

import (
	"context"
	"slices"
	"strconv"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

type describeImageTasksRequest struct {
	common
	paged
	filtered
	ImportTaskId []string
}

var imageTaskFields = fields[imageTaskAnswer]{
	named: map[string]func(imageTaskAnswer) []string{
		"task-state": func(t imageTaskAnswer) []string { return []string{t.Status} },
		"tag-key":    func(t imageTaskAnswer) []string { return tagKeys(t.task.Tags) },
	},
	tags: func(t imageTaskAnswer) tag.Set { return t.task.Tags },
}

var describeImageTasksRules = slices.Concat(
	[]rule[describeImageTasksRequest]{pageRule[describeImageTasksRequest](1, 0)},
	taskIDRules(awsid.IsImageTask, func(r describeImageTasksRequest) []string { return r.ImportTaskId }),
	filterRules[imageTaskAnswer, describeImageTasksRequest](imageTaskFields),
)

type describeImageTasksAnswer struct {
	Tasks     ec2query.List[imageTaskAnswer] `xml:"importImageTaskSet"`
	NextToken string                         `xml:"nextToken,omitempty"`
}

func describeImageTasks(ctx context.Context, c call, r describeImageTasksRequest) (any, error) {
	shown, next, err := c.listImageTasks(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(shown) == 1 && shown[0].task.State == importtask.Active && c.held(ctx, r.paged, func(ctx context.Context) { _, _ = c.ImageTasks.WaitImage(ctx, c.Home(), shown[0].ID) }) {
		if shown, next, err = c.listImageTasks(ctx, r); err != nil {
			return nil, err
		}
	}
	return describeImageTasksAnswer{Tasks: shown, NextToken: next}, nil
}

// listImageTasks returns a page of the tasks that match ids and filters.
func (c call) listImageTasks(ctx context.Context, r describeImageTasksRequest) ([]imageTaskAnswer, string, error) {
	wanted := wanted{r.ImportTaskId, func(ctx context.Context, ids []string) error {
		found, err := c.ImageTasks.ImageTasks(ctx, c.Home(), importtask.Filter{IDs: ids}, listing.Place{}, len(ids))
		if err != nil {
			return err
		}
		return missing(ids, found, func(t importtask.ImageTask) string { return t.ID }, importtask.ErrNotFound)
	}}
	if err := wanted.check(ctx); err != nil {
		return nil, "", err
	}
	ids, err := c.ids(ctx, r.ImportTaskId, r.filtered, "")
	if err != nil {
		return nil, "", err
	}
	f := importtask.Filter{IDs: ids, States: among(r.filtered, "task-state", importtask.States(), c.status)}
	return page(ctx, c, r.paged, list[imageTaskAnswer]{
		next: shownAs(c.showImageTask, func(ctx context.Context, after listing.Place, n int) ([]importtask.ImageTask, error) {
			return c.ImageTasks.ImageTasks(ctx, c.Home(), f, after, n)
		}),
		place:  func(t imageTaskAnswer) string { return listing.At(t.task.CreatedAt, t.ID).String() },
		match:  imageTaskFields.matching(r.Filter),
		wanted: wanted,
	})
}

// imageTaskAnswer is a task as ImportImage and DescribeImportImageTasks show it.
type imageTaskAnswer struct {
	Architecture   string                        `xml:"architecture,omitempty"`
	BootMode       string                        `xml:"bootMode,omitempty"`
	Description    string                        `xml:"description,omitempty"`
	Encrypted      bool                          `xml:"encrypted,omitempty"` // never shown as false
	Hypervisor     string                        `xml:"hypervisor,omitempty"`
	ImageID        string                        `xml:"imageId,omitempty"`
	ID             string                        `xml:"importTaskId"`
	KmsKeyID       string                        `xml:"kmsKeyId,omitempty"`
	LicenseType    string                        `xml:"licenseType,omitempty"`
	Licenses       *ec2query.List[licenseAnswer] `xml:"licenseSpecifications"`
	Platform       string                        `xml:"platform,omitempty"`
	Progress       string                        `xml:"progress,omitempty"`
	Snapshots      ec2query.List[imageDetail]    `xml:"snapshotDetailSet"`
	Status         string                        `xml:"status"`
	StatusMessage  string                        `xml:"statusMessage,omitempty"`
	Tags           ec2query.List[tagAnswer]      `xml:"tagSet"`
	UsageOperation string                        `xml:"usageOperation,omitempty"`

	task importtask.ImageTask
}

type licenseAnswer struct {
	ARN string `xml:"licenseConfigurationArn"`
}

// imageDetail is a disk of an image.
type imageDetail struct {
	Description   string          `xml:"description,omitempty"`
	DeviceName    string          `xml:"deviceName"`
	DiskImageSize ec2query.Double `xml:"diskImageSize"` // bytes of the source object
	Format        string          `xml:"format,omitempty"`
	Progress      string          `xml:"progress,omitempty"`
	SnapshotID    string          `xml:"snapshotId,omitempty"`
	Status        string          `xml:"status"`
	StatusMessage string          `xml:"statusMessage,omitempty"`
	URL           string          `xml:"url,omitempty"`
	UserBucket    *userBucket     `xml:"userBucket"`
}

func (c call) showImageTask(t importtask.ImageTask) imageTaskAnswer {
	a := imageTaskAnswer{
		Architecture: t.Spec.Architecture, BootMode: t.Spec.BootMode, Description: t.Spec.Description, Encrypted: t.Spec.Encrypted,
		Hypervisor: t.Spec.Hypervisor, ImageID: t.ImageID, ID: t.ID, KmsKeyID: t.Spec.KMSKey, LicenseType: t.Spec.LicenseType,
		Platform: t.Spec.Platform, Status: c.status(t.State), Tags: showTags(t.Tags), UsageOperation: t.Spec.UsageOperation, task: t,
	}
	if len(t.Spec.LicenseConfigurations) > 0 {
		a.Licenses = &ec2query.List[licenseAnswer]{}
		for _, arn := range t.Spec.LicenseConfigurations {
			*a.Licenses = append(*a.Licenses, licenseAnswer{arn})
		}
	}
	for _, d := range t.Disks { // of all disks it is the same, once it is known
		a.KmsKeyID = orDefault(d.KMSKey, a.KmsKeyID)
	}
	switch t.State {
	case importtask.Active:
		a.Progress, a.StatusMessage = strconv.Itoa(imageProgress(t)), c.stage(t.Phase(), t.Retry, t.Waiting)
	case importtask.Completed:
		m := t.Machine()
		a.Architecture, a.BootMode = m.Architecture, m.BootMode
		if !c.Strict { // AWS would have altered the guest, and says nothing
			a.StatusMessage = importtask.Note
		}
	case importtask.Deleting, importtask.Deleted:
		a.StatusMessage = t.Failure.Message
	}
	for _, d := range t.Devices() {
		a.Snapshots = append(a.Snapshots, c.showImageDisk(t, d))
	}
	return a
}

func (c call) showImageDisk(t importtask.ImageTask, d importtask.Device) imageDetail {
	if d.Given != nil {
		return imageDetail{Description: d.Given.Description, DeviceName: d.Name, SnapshotID: d.Given.Snapshot, Status: c.status(t.State)}
	}
	s := c.showTask(*d.Disk).Detail
	return imageDetail{
		Description: s.Description, DeviceName: d.Name, DiskImageSize: s.DiskImageSize, Format: s.Format, Progress: s.Progress,
		SnapshotID: s.SnapshotID, Status: s.Status, StatusMessage: s.StatusMessage, URL: s.URL, UserBucket: s.UserBucket,
	}
}

// imageProgress returns the percentage of an Active task of an image: that of the data of
// all its disks, once all are planned.
func imageProgress(t importtask.ImageTask) int {
	whole := importtask.Task{Phase: t.Phase()}
	for _, d := range t.Disks {
		whole.Ranges = append(whole.Ranges, d.Ranges...)
		if whole.Phase == importtask.Waiting && d.Phase != importtask.Waiting {
			whole.Phase = importtask.Validating
		}
	}
	_, whole.Counts = t.Total()
	return progress(whole)
}
