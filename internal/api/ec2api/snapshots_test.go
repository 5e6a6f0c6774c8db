package ec2api

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

func twoSnapshots(strict bool) *fixture {
	f := newFixture(func(o *Options) { o.Strict = strict })
	f.snapshots.records = []snapshot.Record{
		{ID: snapB, Account: account, State: snapshot.Completed, VolumeSize: 3, StartedAt: clock, CompletedAt: clock.Add(time.Minute), Tier: snapshot.Standard,
			Task: taskA, Description: "golden image", Blocks: 2, Tags: tag.Set{{Key: "Name", Value: "web"}}},
		{ID: snapA, Account: account, State: snapshot.Pending, Progress: 42, VolumeSize: 1, StartedAt: clock.Add(time.Second), Task: taskB, Tier: snapshot.Standard},
		{ID: "snap-0ffffffffffffffff", Account: other, State: snapshot.Completed},
	}
	return f
}

// once are resources that are deleted when they were found.
type once[T, Filter any] struct {
	list  func(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]T, error)
	found bool
}

func (o *once[T, Filter]) List(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]T, error) {
	if o.found {
		return nil, nil
	}
	o.found = true
	return o.list(ctx, home, f, after, limit)
}

type snapshotsOnce struct {
	Snapshots
	once[snapshot.Record, snapshot.Filter]
}

func (s *snapshotsOnce) List(ctx context.Context, home awsid.Home, f snapshot.Filter, after listing.Place, limit int) ([]snapshot.Record, error) {
	return s.once.List(ctx, home, f, after, limit)
}

type imagesOnce struct {
	Images
	once[image.Image, image.Filter]
}

func (s *imagesOnce) List(ctx context.Context, home awsid.Home, f image.Filter, after listing.Place, limit int) ([]image.Image, error) {
	return s.once.List(ctx, home, f, after, limit)
}

type volumesOnce struct {
	Volumes
	once[volume.Volume, volume.Filter]
}

func (s *volumesOnce) List(ctx context.Context, home awsid.Home, f volume.Filter, after listing.Place, limit int) ([]volume.Volume, error) {
	return s.once.List(ctx, home, f, after, limit)
}

// The methods of these have the names of their interfaces.
type (
	taskStore      = Tasks
	imageTaskStore = ImageTasks
)

type tasksOnce struct {
	taskStore
	once[importtask.Task, importtask.Filter]
}

func (s *tasksOnce) Tasks(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) ([]importtask.Task, error) {
	return s.List(ctx, home, f, after, limit)
}

type imageTasksOnce struct {
	imageTaskStore
	once[importtask.ImageTask, importtask.Filter]
}

func (s *imageTasksOnce) ImageTasks(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) ([]importtask.ImageTask, error) {
	return s.List(ctx, home, f, after, limit)
}

// TestDescribeDeletedMeanwhile names something that is deleted while it is described: an empty
// list would say that it is there and does not match.
func TestDescribeDeletedMeanwhile(t *testing.T) {
	with := populated()
	f := newFixture(func(o *Options) {
		o.Snapshots = &snapshotsOnce{o.Snapshots, once[snapshot.Record, snapshot.Filter]{list: with.snapshots.List}}
		o.Images = &imagesOnce{o.Images, once[image.Image, image.Filter]{list: with.images.List}}
		o.Volumes = &volumesOnce{o.Volumes, once[volume.Volume, volume.Filter]{list: with.volumes.List}}
		o.Tasks = &tasksOnce{o.Tasks, once[importtask.Task, importtask.Filter]{list: with.imports.Tasks}}
		o.ImageTasks = &imageTasksOnce{o.ImageTasks, once[importtask.ImageTask, importtask.Filter]{list: with.imports.ImageTasks}}
	})
	for _, tt := range []struct{ action, id, want string }{
		{"DescribeSnapshots", "SnapshotId.1=" + snapA, "InvalidSnapshot.NotFound"},
		{"DescribeImages", "ImageId.1=" + imageA, "InvalidAMIID.NotFound"},
		{"DescribeVolumes", "VolumeId.1=" + volumeA, "InvalidVolume.NotFound"},
		{"DescribeImportSnapshotTasks", "ImportTaskId.1=" + taskA, "InvalidConversionTaskId.Malformed"},
		{"DescribeImportImageTasks", "ImportTaskId.1=" + taskI, "InvalidConversionTaskId.Malformed"},
	} {
		if w := f.do(tt.action, tt.id); !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s answers %d %s", tt.action, w.Code, w.Body)
		}
	}
}

func TestDescribeSnapshots(t *testing.T) {
	filter := func(name, value string) []string {
		return []string{"Filter.1.Name=" + name, "Filter.1.Value.1=" + value}
	}
	both, b, a := []string{snapB, snapA}, []string{snapB}, []string{snapA}
	tests := []struct {
		name   string
		params []string
		want   []string
	}{
		{"all", nil, both},
		{"ids", []string{"SnapshotId.1=" + snapA}, a},
		{"owner self", []string{"Owner.1=self"}, both},
		{"owner id", []string{"Owner.1=" + account}, both},
		{"owner amazon", []string{"Owner.1=amazon"}, nil},
		{"owner other", []string{"Owner.1=" + other}, nil},
		{"restorable by self", []string{"RestorableBy.1=self"}, both},
		{"restorable by all", []string{"RestorableBy.1=all"}, nil},
		{"restorable by other", []string{"RestorableBy.1=" + other}, nil},
		{"description", filter("description", "golden*"), b},
		{"generated description", filter("description", "Created by AWS-VMImport service for "+taskA), b},
		{"encrypted", filter("encrypted", "false"), both},
		{"owner alias", filter("owner-alias", "amazon"), nil},
		{"owner-id", filter("owner-id", account), both},
		{"progress", filter("progress", "42%"), a},
		{"snapshot-id", filter("snapshot-id", snapB), b},
		{"start time", filter("start-time", "2026-03-04T05:06:07.089Z"), b},
		{"status", filter("status", "completed"), b},
		{"storage tier", filter("storage-tier", "standard"), both},
		{"transfer type", filter("transfer-type", "standard"), nil},
		{"tag", filter("tag:Name", "web"), b},
		{"tag key", filter("tag-key", "Na?e"), b},
		{"volume id", filter("volume-id", "vol-ffffffff"), both},
		{"volume size", filter("volume-size", "1"), a},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ids(twoSnapshots(false).ok(t, "DescribeSnapshots", tt.params...))); diff != "" {
				t.Error(diff)
			}
		})
	}
	if len(snapshotFields.named) != 13 {
		t.Errorf("got %d filters, the documentation has 13 and tag:<key>", len(snapshotFields.named))
	}
}

// TestDescriptions is Decision 3.
func TestDescriptions(t *testing.T) {
	for strict, want := range map[bool][]string{
		false: {"golden image", "Created by AWS-VMImport service for " + taskB},
		true:  {"Created by AWS-VMImport service for " + taskA, "Created by AWS-VMImport service for " + taskB},
	} {
		var got []string
		for _, s := range twoSnapshots(strict).ok(t, "DescribeSnapshots").Snapshots {
			got = append(got, s.Description)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("strict %v: %s", strict, diff)
		}
	}
}

func TestDeleteSnapshot(t *testing.T) {
	f := twoSnapshots(false)
	if got := f.ok(t, "DeleteSnapshot", "SnapshotId="+snapB); got.Return != "true" || len(f.snapshots.records) != 2 {
		t.Errorf("got %+v, %d left", got, len(f.snapshots.records))
	}
}

func TestTags(t *testing.T) {
	f := newFixture(nil)
	f.ok(t, "CreateTags", "ResourceId.1="+snapA, "ResourceId.2="+taskA, "Tag.1.Key=a", "Tag.1.Value=1", "Tag.2.Key=b")
	list := func(params ...string) []string { return ids(f.ok(t, "DescribeTags", params...)) }
	filter := func(name, value string) []string {
		return []string{"Filter.1.Name=" + name, "Filter.1.Value.1=" + value}
	}
	want := func(name string, got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	want("all", list(), taskA+"/a", taskA+"/b", snapA+"/a", snapA+"/b")
	want("key", list(filter("key", "a")...), taskA+"/a", snapA+"/a")
	want("value", list(filter("value", "1")...), taskA+"/a", snapA+"/a")
	want("empty value", list(filter("value", "")...), taskA+"/b", snapA+"/b")
	want("resource", list(filter("resource-id", snapA)...), snapA+"/a", snapA+"/b")
	want("type", list(filter("resource-type", "import-snapshot-task")...), taskA+"/a", taskA+"/b")
	want("tag", list(filter("tag:a", "?")...), taskA+"/a", snapA+"/a")

	f.ok(t, "DeleteTags", "ResourceId.1="+snapA, "Tag.1.Key=a", "Tag.1.Value=2", "Tag.2.Key=b", "Tag.2.Value=")
	want("by value", list(), taskA+"/a", taskA+"/b", snapA+"/a")
	f.ok(t, "DeleteTags", "ResourceId.1="+snapA, "Tag.1.Key=a")
	want("by key", list(), taskA+"/a", taskA+"/b")
	f.ok(t, "DeleteTags", "ResourceId.1="+taskA)
	want("all of one", list())
}

func TestWild(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"abc", "abc", true}, {"abc", "abd", false}, {"", "", true}, {"", "a", false}, {"*", "", true},
		{"a*c", "abbbc", true}, {"a*c", "abbb", false}, {"*a*b*", "xxaxxbxx", true}, {"a?c", "aéc", true}, {"a?c", "ac", false},
		{`a\*c`, "a*c", true}, {`a\*c`, "abc", false}, {`a\?`, "a?", true}, {`a\`, `a\`, true}, {`\\`, `\`, true},
		{"**a", "ba", true}, {"A", "a", false},
	}
	for _, tt := range tests {
		if got := wild(tt.pattern, tt.s); got != tt.want {
			t.Errorf("wild(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}

// TestWildProperties: an escaped text matches itself, and * everything.
func TestWildProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom([]rune(`ab*?\é`))).Draw(t, "text")
		wild(rapid.StringOf(rapid.RuneFrom([]rune(`ab*?\`))).Draw(t, "pattern"), s) // ends, without a panic
		escaped := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(s)
		for _, p := range []string{escaped, "*", escaped + "*", "*" + escaped, strings.Repeat("?", utf8.RuneCountInString(s))} {
			if !wild(p, s) {
				t.Errorf("%q does not match %q", p, s)
			}
		}
		if wild(escaped+"?", s) || wild(escaped, s+"a") {
			t.Errorf("%q matches more than %q", escaped, s)
		}
	})
}
