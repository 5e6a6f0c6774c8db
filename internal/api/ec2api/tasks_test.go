package ec2api

import (
	"context"
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/tag"
)

func TestProgress(t *testing.T) {
	ranges := []importtask.Range{{Bytes: 600}, {Bytes: 400}}
	tests := []struct {
		name  string
		phase importtask.Phase
		done  int64
		want  int
	}{
		{"waiting", importtask.Waiting, 0, 0},
		{"validating", importtask.Validating, 0, 3},
		{"validated", importtask.Validated, 0, 3},
		{"begun", importtask.Converting, 0, 5},
		{"little", importtask.Converting, 20, 5},
		{"half", importtask.Converting, 500, 50},
		{"all", importtask.Converting, 1000, 99},
		{"more than all", importtask.Converting, 5000, 99},
		{"completing", importtask.Completing, 1000, 99},
	}
	last := -1
	for _, tt := range tests {
		got := progress(importtask.Task{Phase: tt.phase, Ranges: ranges, Counts: importtask.Counts{Done: tt.done}})
		if got != tt.want || got < last {
			t.Errorf("%s: got %d after %d, want %d", tt.name, got, last, tt.want)
		}
		last = got
	}
	if got := progress(importtask.Task{Phase: importtask.Converting}); got != 5 {
		t.Errorf("no data: got %d, want 5", got)
	}
}

// TestTaskView: the elements are those of contract §1.7 and §2.2.
func TestTaskView(t *testing.T) {
	base := importtask.Task{ID: taskA, Account: account, Bucket: "b", Key: "k", SourceBytes: 819056640, SnapshotID: snapA, CreatedAt: clock}
	with := func(change func(*importtask.Task)) importtask.Task {
		task := base
		change(&task)
		return task
	}
	failed := importtask.Failure{Message: "ClientError: Disk validation failed [Unsupported specified file format]"}
	const bucket = "<userBucket><s3Bucket>b</s3Bucket><s3Key>k</s3Key></userBucket>"
	tests := []struct {
		name string
		task importtask.Task
		url  string
		want string // inside snapshotTaskDetail
	}{
		{"accepted", with(func(t *importtask.Task) { t.State, t.Phase = importtask.Active, importtask.Waiting }), "",
			"<diskImageSize>0.0</diskImageSize><progress>0</progress><status>active</status><statusMessage>pending</statusMessage>" + bucket},
		{"accepted by url", with(func(t *importtask.Task) { t.State, t.Phase = importtask.Active, importtask.Waiting }), "s3://b/k",
			"<diskImageSize>0.0</diskImageSize><progress>0</progress><status>active</status><statusMessage>pending</statusMessage><url>s3://b/k</url>"},
		{"validating by url", with(func(t *importtask.Task) { t.State, t.Phase = importtask.Active, importtask.Validating }), "s3://b/k",
			"<diskImageSize>8.1905664E8</diskImageSize><progress>3</progress><status>active</status><statusMessage>validating</statusMessage><url>s3://b/k</url>" + bucket},
		{"converting", with(func(t *importtask.Task) {
			t.State, t.Phase, t.Format, t.DiskDescription = importtask.Active, importtask.Converting, "VMDK", "My server VMDK"
			t.Ranges, t.Counts.Done = []importtask.Range{{Bytes: 100}}, 22
		}), "", "<description>My server VMDK</description><diskImageSize>8.1905664E8</diskImageSize><format>VMDK</format><progress>22</progress><status>active</status><statusMessage>downloading/converting</statusMessage>" + bucket},
		{"retrying", with(func(t *importtask.Task) {
			t.State, t.Phase = importtask.Active, importtask.Converting
			t.Retry = importtask.Retry{Failures: 2, Cause: "the S3 of the source answers with status 503"}
		}), "", "<diskImageSize>8.1905664E8</diskImageSize><progress>5</progress><status>active</status><statusMessage>downloading/converting; retrying: the S3 of the source answers with status 503</statusMessage>" + bucket},
		{"waiting for space", with(func(t *importtask.Task) {
			t.State, t.Phase = importtask.Active, importtask.Validating
			t.Waiting = importtask.Wait{For: "space: 4 MiB needed, 3 MiB free in /data"}
		}), "", "<diskImageSize>8.1905664E8</diskImageSize><progress>3</progress><status>active</status><statusMessage>validating; waiting for space</statusMessage>" + bucket},
		{"completed", with(func(t *importtask.Task) {
			t.State, t.Phase, t.Format = importtask.Completed, importtask.Completing, "VMDK"
		}), "s3://b/k",
			"<diskImageSize>8.1905664E8</diskImageSize><format>VMDK</format><snapshotId>" + snapA + "</snapshotId><status>completed</status><url>s3://b/k</url>" + bucket},
		{"failed validation", with(func(t *importtask.Task) {
			t.State, t.Failure, t.Phase = importtask.Deleted, failed, importtask.Validating
		}), "",
			"<diskImageSize>0.0</diskImageSize><status>deleted</status><statusMessage>" + failed.Message + "</statusMessage>" + bucket},
		{"failing later", with(func(t *importtask.Task) { t.State, t.Failure, t.StartedAt = importtask.Deleting, failed, clock }), "",
			"<diskImageSize>8.1905664E8</diskImageSize><status>deleting</status><statusMessage>" + failed.Message + "</statusMessage>" + bucket},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(nil)
			f.imports.urls[taskA] = tt.url
			got, err := xml.Marshal(call{API: f.API}.showTask(tt.task).Detail)
			if err != nil {
				t.Fatal(err)
			}
			if want := "<taskDetail>" + tt.want + "</taskDetail>"; string(got) != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestFailedStatus(t *testing.T) {
	f := newFixture(func(o *Options) { o.FailedStatus = "error" })
	f.imports.tasks = []importtask.Task{{ID: taskA, Account: account, State: importtask.Deleted}}
	if got := f.ok(t, "DescribeImportSnapshotTasks", "Filter.1.Name=task-state", "Filter.1.Value.1=error"); len(got.Tasks) != 1 || got.Tasks[0].Detail.Status != "error" {
		t.Errorf("got %+v", got)
	}
}

func threeTasks() *fixture {
	f := newFixture(nil)
	f.imports.tasks = []importtask.Task{ // as the store gives them: by creation
		{ID: taskB, Account: account, State: importtask.Active, Phase: importtask.Waiting, CreatedAt: clock},
		{ID: taskA, Account: account, State: importtask.Completed, CreatedAt: clock.Add(time.Second), Tags: tag.Set{{Key: "Name", Value: "web*1"}}},
		{ID: taskC, Account: account, State: importtask.Deleted, CreatedAt: clock.Add(time.Second), Tags: tag.Set{{Key: "Stage", Value: ""}}},
	}
	return f
}

func ids(r reply) (out []string) {
	for _, t := range r.Tasks {
		out = append(out, t.ID)
	}
	for _, s := range r.Snapshots {
		out = append(out, s.ID)
	}
	for _, t := range r.Tags {
		out = append(out, t.ResourceID+"/"+t.Key)
	}
	return out
}

func TestDescribeTasks(t *testing.T) {
	tests := []struct {
		name   string
		params []string
		want   []string
	}{
		{"all", nil, []string{taskB, taskA, taskC}},
		{"by id", []string{"ImportTaskId.1=" + taskC, "ImportTaskId.02=" + taskB, "ImportTaskId.7=" + taskC, "ImportTaskId.9="}, []string{taskB, taskC}},
		{"state", []string{"Filters.1.Name=task-state", "Filters.1.Value.1=active", "Filters.1.Value.2=deleted"}, []string{taskB, taskC}},
		{"state, other spelling", []string{"Filter.1.Name=task-state", "Filter.1.Value.1=act*"}, []string{taskB}},
		{"tag", []string{"Filters.1.Name=tag:Name", `Filters.1.Value.1=web\*?`}, []string{taskA}},
		{"empty tag", []string{"Filters.1.Name=tag:Stage", "Filters.1.Value.1="}, []string{taskC}},
		{"tag key", []string{"Filters.1.Name=tag-key", "Filters.1.Value.1=Stage"}, []string{taskC}},
		{"ids and filters", []string{"ImportTaskId.1=" + taskA, "Filters.1.Name=task-state", "Filters.1.Value.1=active"}, nil},
		{"two filters", []string{"Filters.1.Name=task-state", "Filters.1.Value.1=completed", "Filters.2.Name=tag-key", "Filters.2.Value.1=Stage"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := threeTasks().ok(t, "DescribeImportSnapshotTasks", tt.params...)
			if diff := cmp.Diff(tt.want, ids(got)); diff != "" {
				t.Error(diff)
			}
			if got.NextToken != nil {
				t.Errorf("got a token on the last page")
			}
		})
	}
}

func TestPages(t *testing.T) {
	f := threeTasks()
	var got []string
	params := []string{"MaxResults=1"}
	for len(params) > 0 {
		r := f.ok(t, "DescribeImportSnapshotTasks", params...)
		got = append(got, ids(r)...)
		params = nil
		if r.NextToken != nil {
			params = []string{"MaxResults=1", "NextToken=" + *r.NextToken}
		}
		// A task that is removed between two pages shifts nothing.
		f.imports.tasks = slices.DeleteFunc(f.imports.tasks, func(t importtask.Task) bool { return t.ID == taskB })
	}
	if want := []string{taskB, taskA, taskC}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPageTokensAreBound(t *testing.T) {
	f := threeTasks()
	token := *f.ok(t, "DescribeImportSnapshotTasks", "MaxResults=1").NextToken
	if got := parse(t, f.do("DescribeSnapshots", "NextToken="+token)); got.Code != "InvalidPaginationToken" {
		t.Errorf("another action: got %+v", got)
	}
	f.Now = func() time.Time { return clock.Add(pageLife + time.Second) }
	if got := parse(t, f.do("DescribeImportSnapshotTasks", "NextToken="+token)); got.Code != "InvalidPaginationToken" {
		t.Errorf("expired: got %+v", got)
	}
}

func TestCancel(t *testing.T) {
	f := populated()
	if got := f.ok(t, "CancelImportTask", good["CancelImportTask"]...); got.Previous != "active" || got.State != "deleting" {
		t.Errorf("got %+v", got)
	}
	f.imports.tasks[0].State = importtask.Deleting
	if got := f.ok(t, "CancelImportTask", good["CancelImportTask"]...); got.Previous != "deleting" || got.State != "deleting" {
		t.Errorf("again: got %+v", got)
	}
}

// TestHeldPoll: a poll of one running task is answered when the task ends, or after
// HoldPoll.
func TestHeldPoll(t *testing.T) {
	one := []string{"ImportTaskId.1=" + taskB}
	tests := []struct {
		name   string
		params []string
		ends   time.Duration // after which the task completes; 0 never
		took   time.Duration
		status string
	}{
		{"ends", one, 2 * time.Second, 2 * time.Second, "completed"},
		{"goes on", one, 0, 5 * time.Second, "active"},
		{"paged", append([]string{"MaxResults=5"}, one...), 0, 0, "active"},
		{"more tasks", nil, 0, 0, "active"},
		{"ended before", []string{"ImportTaskId.1=" + taskA}, 0, 0, "completed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := threeTasks()
				f.HoldPoll = 5 * time.Second
				f.imports.wait = func(ctx context.Context) {
					ended := make(<-chan time.Time)
					if tt.ends > 0 {
						ended = time.After(tt.ends)
					}
					select {
					case <-ended:
						f.imports.tasks[0].State = importtask.Completed
					case <-ctx.Done():
					}
				}
				begin := time.Now()
				got := f.ok(t, "DescribeImportSnapshotTasks", tt.params...)
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if got.Tasks[0].Detail.Status != tt.status {
					t.Errorf("got %+v, want %s", got.Tasks[0].Detail, tt.status)
				}
			})
		})
	}
}

// TestImportRequest: the request that the domain gets.
func TestImportRequest(t *testing.T) {
	f := newFixture(func(o *Options) { o.OwnHosts = []string{"disk.internal"} })
	f.ok(t, "ImportSnapshot", "DiskContainer.Url=s3://bkt/k/y z.vhd", "DiskContainer.Format=vhd", "DiskContainer.UserBucket.S3Bucket=", "Encrypted=false",
		"Description=d", "DiskContainer.Description=dc", "ClientToken="+strings.Repeat("x", 64), "ClientData.UploadSize=NaN", "ClientData.UploadStart=0001-01-01T00:00:00Z",
		"TagSpecification.1.ResourceType=import-snapshot-task", "TagSpecification.1.Tag.1.Key=K2", "TagSpecification.1.Tag.1.Value=")
	got := f.imports.got
	if len(got.Digest) != 64 {
		t.Errorf("got digest %q", got.Digest)
	}
	if got.Caller.ARN != userARN || got.Origin.SourceIP != "192.0.2.1" {
		t.Errorf("got caller %+v from %+v", got.Caller, got.Origin)
	}
	got.Digest, got.Caller, got.Origin = "", iam.Principal{}, iam.Origin{}
	want := importtask.Request{
		Account: account, Region: "us-east-1", Token: strings.Repeat("x", 64),
		Description: "d", DiskDescription: "dc", Format: "VHD", RoleName: "vmimport", URL: "s3://bkt/k/y z.vhd",
		OwnHosts: []string{"disk.internal", "disk.example:4580"}, Tags: []tag.Tag{{Key: "K2"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(iam.Principal{}, importtask.Request{})); diff != "" {
		t.Error(diff)
	}
}

func TestDigest(t *testing.T) {
	of := func(params ...string) string {
		f := newFixture(nil)
		f.ok(t, "ImportSnapshot", append(slices.Clone(good["ImportSnapshot"]), params...)...)
		return f.imports.got.Digest
	}
	tags := func(n1, k1, n2, k2 string) []string {
		s := "TagSpecification.1."
		return []string{s + "ResourceType=import-snapshot-task", s + "Tag." + n1 + ".Key=" + k1, s + "Tag." + n1 + ".Value=v", s + "Tag." + n2 + ".Key=" + k2, s + "Tag." + n2 + ".Value=v"}
	}
	plain := of()
	same := map[string][2]string{
		"token":          {plain, of("ClientToken=t")},
		"not dry":        {plain, of("DryRun=false")},
		"not encrypted":  {plain, of("Encrypted=false")},
		"empty":          {plain, of("Description=", "RoleName=")},
		"case of format": {of("DiskContainer.Format=raw"), of("DiskContainer.Format=RAW")},
		"tag numbers":    {of(tags("1", "a", "2", "b")...), of(tags("07", "b", "9", "a")...)},
	}
	for name, d := range same {
		if d[0] != d[1] {
			t.Errorf("%s: the digests differ", name)
		}
	}
	seen := map[string]string{plain: "plain"}
	for _, p := range []string{"Description=d", "DiskContainer.Description=d", "DiskContainer.Format=RAW", "RoleName=r", "ClientData.Comment=c", "ClientData.UploadSize=1", "ClientData.UploadSize=NaN", "DiskContainer.UserBucket.S3Key=l"} {
		d := of(p)
		if seen[d] != "" {
			t.Errorf("%s: same digest as %s", p, seen[d])
		}
		seen[d] = p
	}
	if d := of(tags("1", "a", "2", "b")...); seen[d] != "" || d == of(tags("1", "a", "2", "c")...) {
		t.Error("tags are not part of the digest")
	}
}
