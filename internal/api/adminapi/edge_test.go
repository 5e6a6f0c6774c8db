package adminapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/footprint"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/wake"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a service with one task that moves on each time it is looked at.
type world struct {
	states  []importtask.Task // successive
	looks   int
	damaged error
	locked  bool             // the key of snap-4
	blocks  []snapshot.Block // of every snapshot
	denied  string           // action
	owned   map[string]string
	caller  string // account; "" is 1
	region  string // of requests
	home    string // region of snap-1

	stopping chan struct{} // nil: the service goes on
	poll     time.Duration // 0: at once
}

func (w *world) Accounts(context.Context) ([]iam.Account, error) {
	return []iam.Account{{ID: "1", KeyID: "AKIA1", Created: start}}, nil
}

func (w *world) AddAccount(_ context.Context, id string) (iam.Account, sigv4.Secret, error) {
	switch id {
	case "1":
		return iam.Account{}, sigv4.Secret{}, &iam.EntityError{Kind: iam.KindAccount, Name: id, Err: iam.ErrExists}
	case "4":
		return iam.Account{}, sigv4.Secret{}, &iam.EntityError{Kind: iam.KindAccount, Name: id, Err: iam.ErrRemoved}
	case "x":
		return iam.Account{}, sigv4.Secret{}, &iam.ValidationError{Message: "an account id has twelve digits"}
	}
	return iam.Account{ID: cmp.Or(id, "7"), KeyID: "AKIA2", Created: start}, sigv4.NewSecret("hush"), nil
}

func (w *world) RemoveAccount(ctx context.Context, id string, owns func(ctx context.Context, account string) (string, error)) error {
	what, err := owns(ctx, id)
	switch {
	case err != nil:
		return err
	case what != "":
		return &iam.EntityError{Kind: iam.KindAccount, Name: id, Err: iam.ErrInUse}
	case id == "9":
		return &iam.EntityError{Kind: iam.KindAccount, Name: id, Err: iam.ErrNotFound}
	}
	return nil
}

func (w *world) Task(_ context.Context, home awsid.Home, id string) (importtask.Task, error) {
	t := w.states[min(w.looks, len(w.states)-1)]
	w.looks++
	if t.Home() != home || t.ID != id {
		return importtask.Task{}, importtask.ErrNotFound
	}
	return t, nil
}

func (w *world) Tasks(_ context.Context, _ awsid.Home, _ importtask.Filter, after listing.Place, limit int) ([]importtask.Task, error) {
	var list []importtask.Task
	for i := range 3 { // of the first, by id
		t := w.states[0]
		t.ID = "import-snap-" + string(rune('1'+i))
		if listing.At(t.CreatedAt, t.ID).Compare(after) > 0 && len(list) < limit {
			list = append(list, t)
		}
	}
	return list, nil
}

func (w *world) ImageTask(ctx context.Context, home awsid.Home, id string) (importtask.ImageTask, error) {
	t, err := w.Task(ctx, home, "import-snap-1")
	if err == nil && id != "import-ami-1" {
		err = importtask.ErrNotFound
	}
	return imageOf(t), err
}

func (w *world) ImageTasks(_ context.Context, _ awsid.Home, _ importtask.Filter, after listing.Place, limit int) ([]importtask.ImageTask, error) {
	t := imageOf(w.states[0])
	if limit == 0 || listing.At(t.CreatedAt, t.ID).Compare(after) <= 0 {
		return nil, nil
	}
	return []importtask.ImageTask{t}, nil
}

// imageOf is the import of an image with a disk and a snapshot.
func imageOf(disk importtask.Task) importtask.ImageTask {
	t := importtask.ImageTask{
		ID: "import-ami-1", Account: disk.Account, Region: disk.Region, State: disk.State, Failure: disk.Failure, CreatedAt: disk.CreatedAt, EndedAt: disk.EndedAt, Tags: disk.Tags,
		Spec: importtask.ImageSpec{Description: "d", Given: []importtask.Given{{Container: 2, Snapshot: "snap-9"}}},
	}
	if t.State == importtask.Completed {
		t.ImageID = "ami-1"
	}
	disk.ID, disk.ImageTask, disk.Place, disk.Member = "import-ami-1/1", t.ID, importtask.Place{Container: 1, Disk: 1}, "a.vmdk"
	disk.Machine = importtask.Machine{Guest: "ubuntu64Guest", BootMode: "uefi", Empty: 2}
	t.Disks = []importtask.Task{disk}
	return t
}

// Snapshot finds w.damaged, unless that says that a key can't be used.
func (w *world) Snapshot(_ context.Context, rec snapshot.Record, o verify.Observer) (verify.Checked, error) {
	o.Progress(1, 2)
	if e, ok := errors.AsType[*keyring.Error](w.damaged); ok {
		return verify.Checked{ID: rec.ID, Locked: e.Error()}, nil
	}
	if w.damaged == nil {
		return verify.Checked{ID: rec.ID}, nil
	}
	f := verify.Finding{Part: verify.Data, Snapshot: rec.ID, Index: 7, Page: -1, Offset: 4096, File: "pack/00/1", Problem: w.damaged.Error()}
	return verify.Checked{ID: rec.ID, Findings: 1}, o.Found(f)
}

// Repair is Run.
func (v verifier) Repair(ctx context.Context, e verify.Effort, o verify.Observer) (verify.Repaired, error) {
	s, err := v.Run(ctx, e, o)
	return verify.Repaired{Summary: s, Mended: 2, Left: 1}, err
}

// verifier is the Verifier of a world.
type verifier struct{ *world }

// Run is Snapshot of one snapshot.
func (v verifier) Run(ctx context.Context, e verify.Effort, o verify.Observer) (verify.Summary, error) {
	c, err := v.Snapshot(ctx, snapshot.Record{ID: "snap-1"}, o)
	if err == nil {
		err = o.Snapshot(c)
	}
	return verify.Summary{Files: e.Rate, Findings: c.Findings, Notes: []string{"note"}}, err
}

func (w *world) Measure(_ context.Context, _ snapshot.Record, progress func(done, total int64)) (footprint.Footprint, error) {
	progress(1, 2)
	return footprint.Footprint{
		Blocks: 9, UniqueBlocks: 4, Stored: 8, Shared: 5, Unique: 3, Margin: 1, Volumes: 6, Drafts: 7, Damaged: []string{"page 7"},
	}, w.damaged
}

// Scan hands out w.blocks, filled with their index behind 100 KiB of zeros.
func (w *world) Scan(_ context.Context, _ snapshot.Record, _ string, from int64, fn func(snapshot.Block, []byte, block.Digest) error) error {
	for _, b := range w.blocks {
		if b.Index < from {
			continue
		}
		p := append(make([]byte, 100<<10), bytes.Repeat([]byte{byte(b.Index)}, block.Size-100<<10)...)
		if err := fn(b, p, block.Sum(p)); err != nil {
			return err
		}
	}
	return w.damaged
}

func (w *world) MayRead(_ context.Context, _ kms.Caller, key, _ string) error {
	if w.locked {
		return &keyring.Error{Key: key, Reason: keyring.Disabled}
	}
	return nil
}

func (w *world) Run(context.Context) (gc.Report, error) {
	return gc.Report{Blocks: 3, Files: 2, Bytes: 1}, nil
}

// compactor is one that has half of everything to do.
type compactor struct{ fails error }

func (c compactor) Run(_ context.Context, e compact.Effort, progress func(compact.Progress)) (compact.Report, error) {
	progress(compact.Progress{Done: 1, Total: 2})
	return compact.Report{Packs: 4, NewPacks: 1, Blocks: e.Rate, Freed: 9, Locked: []string{"domain d: off"}}, c.fails
}

func (compactor) Plan(context.Context, compact.Effort) (compact.Plan, error) {
	return compact.Plan{Packs: 4, Bytes: 10, Dead: 5, Uncompressed: 3}, nil
}

func (c compactor) Rotate(_ context.Context, domain string, rate int64, progress func(compact.Progress)) (compact.Rotated, error) {
	progress(compact.Progress{Done: 1, Total: 2})
	done := compact.Rotated{Domain: blockstore.Domain{ID: domain, Oldest: 1, Newest: 2, Retire: 2}}
	done.Packs, done.Encrypted = 4, rate
	return done, c.fails
}

func (c compactor) Rewrap(_ context.Context, domain string) (blockstore.Domain, error) {
	return blockstore.Domain{ID: domain, Newest: 7}, c.fails
}

func (compactor) Holdings(context.Context) ([]keyring.Holding, error) {
	return []keyring.Holding{
		{Domain: blockstore.Domain{ID: "dom-1", Account: "1"}, Packs: 5},
		{Domain: blockstore.Domain{ID: "dom-2", Account: "1", KMSKey: "arn:aws:kms:r:1:key/k", Newest: 2, Retire: 1}, Encrypted: 6, Packs: 4, Outdated: 3},
		{Domain: blockstore.Domain{ID: "dom-3", Account: "2", KMSKey: "arn:aws:kms:r:1:key/k"}},
	}, nil
}

func (compactor) Usage(context.Context) (snapshot.Usage, error) {
	return snapshot.Usage{Snapshots: 1, Virtual: 9, Data: 8, Blocks: 2, Compressed: 1, Frames: 6, Packs: 1, PackBytes: 7, Dead: 1, Manifests: 2}, nil
}

type snapshots struct{ list []snapshot.Record }

func (s snapshots) Get(_ context.Context, region, id string) (snapshot.Record, error) {
	for _, r := range s.list {
		if r.ID == id && r.Region == region {
			return r, nil
		}
	}
	return snapshot.Record{}, snapshot.ErrNotFound
}

func (s snapshots) List(_ context.Context, home awsid.Home, f snapshot.Filter, after listing.Place, limit int) ([]snapshot.Record, error) {
	list := slices.DeleteFunc(slices.Clone(s.list), func(r snapshot.Record) bool {
		return !slices.Contains(f.Owners, r.Account) || r.Home() != home || listing.At(r.StartedAt, r.ID).Compare(after) <= 0
	})
	return list[:min(limit, len(list))], nil
}

func (w *world) edge() *Edge {
	return New(Config{
		Tasks: w,
		Snapshots: snapshots{[]snapshot.Record{
			{ID: "snap-1", Account: "1", Region: w.home, State: snapshot.Completed, Blocks: 2, Added: 7, Domain: "dom-2", VolumeSize: 1, Task: "import-snap-1", StartedAt: start},
			{ID: "snap-2", Account: "1", State: snapshot.Pending, StartedAt: start},
			{ID: "snap-3", Account: "2", State: snapshot.Completed, StartedAt: start},
			{ID: "snap-4", Account: "1", State: snapshot.Completed, VolumeSize: 1, KMSKey: "arn", StartedAt: start},
		}},
		Verifier: verifier{w},
		Rebuild: func(context.Context, verify.Observer) (verify.Rebuilt, error) {
			return verify.Rebuilt{Packs: 2, Snapshots: 3}, w.damaged
		},
		Measurer:     w,
		Scanner:      w,
		Keys:         w,
		Collector:    w,
		Compactor:    compactor{w.damaged},
		Domains:      compactor{w.damaged},
		RotateMaster: func(context.Context) (int, error) { return 5, w.damaged },
		Usage:        compactor{},
		Accounts:     w,
		Operator:     "1",
		Owns:         func(_ context.Context, id string) (string, error) { return w.owned[id], nil },
		Authorize: func(_ context.Context, _ *awshttp.Call, action string, _ policy.Context, _ ...string) error {
			if action == w.denied {
				return errors.New("no")
			}
			return nil
		},
		Log:  slog.New(slog.DiscardHandler),
		Now:  func() time.Time { return start.Add(10 * time.Second) },
		Poll: cmp.Or(w.poll, time.Nanosecond), Stopping: w.stopping,
	})
}

func (w *world) ask(t *testing.T, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	w.edge().ServeAWS(rec, r, &awshttp.Call{Principal: iam.Principal{Account: cmp.Or(w.caller, "1")}, Region: w.region})
	return rec
}

func running() importtask.Task {
	return importtask.Task{
		ID: "import-snap-1", Account: "1", State: importtask.Active, Phase: importtask.Converting,
		Format: "VMDK", SnapshotID: "snap-1", SourceBytes: 50, Virtual: 1000, Tags: tag.Set{{Key: "k", Value: "v"}},
		Ranges: []importtask.Range{{Bytes: 100}, {Bytes: 300}}, RangesLeft: 1,
		Counts:    importtask.Counts{Source: 20, Done: 100, Data: 5, Zero: 1, Deduplicated: 2, Stored: 60},
		CreatedAt: start, StartedAt: start.Add(5 * time.Second),
	}
}

func completed() importtask.Task {
	t := running()
	t.State, t.RangesLeft, t.Counts.Done, t.EndedAt = importtask.Completed, 0, 400, start.Add(6*time.Second)
	return t
}

func TestTask(t *testing.T) {
	failed := running()
	failed.State = importtask.Deleted
	failed.Failure = importtask.Failure{Message: "ClientError: x", Reason: "truncated", Offset: 0, Hint: "again"}
	retried, tried := running(), running()
	retried.Retry = importtask.Retry{Cause: "no answer", Failures: 4, Since: start, Next: start.Add(time.Minute)}
	tried.Retry = importtask.Retry{Cause: "no answer", Failures: 4, Since: start}
	zero := int64(0)
	base := task{
		ID: "import-snap-1", Status: "active", Phase: "downloading/converting", Format: "VMDK", VirtualBytes: 1000, SourceBytes: 50,
		Progress: progress{
			Percent: 25, DoneBytes: 100, TotalBytes: 400, ReadBytes: 20, StoredBytes: 60,
			Blocks: blocks{5, 1, 2}, Ranges: 2, RangesDone: 1, BytesPerSecond: 20,
		},
		Tags: map[string]string{"k": "v"}, CreatedAt: start, StartedAt: ptr(start.Add(5 * time.Second)), Seconds: 10,
	}
	tests := map[string]struct {
		task importtask.Task
		want func(*task)
	}{
		"running":   {running(), func(*task) {}}, // the snapshot is not shown before it is complete
		"retried":   {retried, func(w *task) { w.Retry = &taskRetry{"no answer", 4, start, ptr(start.Add(time.Minute))} }},
		"tried now": {tried, func(w *task) { w.Retry = &taskRetry{"no answer", 4, start, nil} }},
		"completed": {completed(), func(w *task) {
			w.Status, w.Phase, w.SnapshotID = "completed", "", "snap-1"
			w.EndedAt, w.Seconds = ptr(start.Add(6*time.Second)), 6
			w.Progress.Percent, w.Progress.DoneBytes, w.Progress.RangesDone, w.Progress.BytesPerSecond = 100, 400, 2, 400
		}},
		"failed": {failed, func(w *task) {
			w.Status, w.Phase = "deleted", ""
			w.Failure = &taskFailure{Message: "ClientError: x", Reason: "truncated", Offset: &zero, Hint: "again"}
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := base
			tt.want(&want)
			var got task
			rec := (&world{states: []importtask.Task{tt.task}}).ask(t, "GET", "/-/v1/tasks/import-snap-1")
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("task (-want +got):\n%s", diff)
			}
		})
	}
}

func TestImageTask(t *testing.T) {
	var got imageTask
	rec := (&world{states: []importtask.Task{completed()}}).ask(t, "GET", "/-/v1/image-tasks/import-ami-1")
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	disk := got.Disks[0].Task
	if disk == nil || disk.SnapshotID != "snap-1" || disk.ID != "import-ami-1/1" {
		t.Errorf("the disk is %+v", disk)
	}
	got.Disks[0].Task = nil
	want := imageTask{
		ID: "import-ami-1", Status: "completed", Description: "d", ImageID: "ami-1", Architecture: "x86_64", BootMode: "uefi", Guest: "ubuntu64Guest",
		Notes: []string{importtask.Note, "The machine has 2 more disks, which its OVF wants to be created empty; the image lacks them."},
		Progress: progress{
			Percent: 100, DoneBytes: 400, TotalBytes: 400, ReadBytes: 20, StoredBytes: 60,
			Blocks: blocks{5, 1, 2}, Ranges: 2, RangesDone: 2, BytesPerSecond: 400,
		},
		Disks: []imageDisk{{Device: "/dev/sda1", SnapshotID: "snap-1", Member: "a.vmdk"}, {Device: "/dev/sdb", SnapshotID: "snap-9"}},
		Tags:  map[string]string{"k": "v"}, CreatedAt: start, EndedAt: ptr(start.Add(6 * time.Second)), Seconds: 6,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("task (-want +got):\n%s", diff)
	}
}

func ptr(t time.Time) *time.Time { return &t }

func TestEventsTellEachChangeOnceUntilTheEnd(t *testing.T) {
	w := &world{states: []importtask.Task{running(), running(), running(), completed()}}
	image := &world{states: w.states}
	if body := image.ask(t, "GET", "/-/v1/image-tasks/import-ami-1/events").Body.String(); strings.Count(body, "event: task\n") != 2 || !strings.Contains(body, `"imageId":"ami-1"`) {
		t.Errorf("of an image: %s", body)
	}
	body := w.ask(t, "GET", "/-/v1/tasks/import-snap-1/events").Body.String()
	if got := strings.Count(body, "event: task\n"); got != 2 {
		t.Errorf("%d events, want 2: the state at first and the change\n%s", got, body)
	}
	last := body[strings.LastIndex(body, "data: ")+len("data: "):]
	var got task
	if err := json.Unmarshal([]byte(last), &got); err != nil || got.Status != "completed" {
		t.Errorf("the last event says %q (%v), want completed", got.Status, err)
	}
}

func TestAnswers(t *testing.T) {
	tests := map[string]struct {
		request string
		world   world
		status  int
		body    string // part of it
	}{
		"tasks":                  {"GET /-/v1/tasks", world{}, 200, `"id":"import-snap-1"`},
		"limit of no page":       {"GET /-/v1/tasks?limit=0", world{}, 400, `limit must be a number from 1 to 1000`},
		"limit of a long page":   {"GET /-/v1/snapshots?limit=1001", world{}, 400, `"code":"InvalidParameter"`},
		"after no place":         {"GET /-/v1/tasks?after=x", world{}, 400, `after must be what another page has as next`},
		"unknown task":           {"GET /-/v1/tasks/import-snap-2", world{}, 404, `"code":"NoSuchTask"`},
		"events of unknown task": {"GET /-/v1/tasks/import-snap-2/events", world{}, 404, `"code":"NoSuchTask"`},
		"images' tasks":          {"GET /-/v1/image-tasks", world{}, 200, `"phase":"downloading/converting"`},
		"an image's task":        {"GET /-/v1/image-tasks/import-ami-1", world{}, 200, `"percent":25`},
		"unknown image's task":   {"GET /-/v1/image-tasks/import-ami-2", world{}, 404, `"code":"NoSuchTask"`},
		"events of none":         {"GET /-/v1/image-tasks/import-ami-2/events", world{}, 404, `"code":"NoSuchTask"`},
		"snapshots":              {"GET /-/v1/snapshots", world{}, 200, `"dataBytes":1048576,"addedBytes":7`},
		"snapshot":               {"GET /-/v1/snapshots/snap-1", world{}, 200, `"description":"Created by AWS-VMImport service for import-snap-1"`},
		"unknown snapshot":       {"GET /-/v1/snapshots/snap-9", world{}, 404, `"code":"NoSuchSnapshot"`},
		"somebody else's":        {"GET /-/v1/snapshots/snap-3", world{}, 404, `"code":"NoSuchSnapshot"`},
		"verify somebody else's": {"POST /-/v1/snapshots/snap-3/verify", world{}, 404, `"code":"NoSuchSnapshot"`},
		"verify":                 {"POST /-/v1/snapshots/snap-1/verify", world{}, 200, "event: progress\ndata: {\"done\":1,\"total\":2}\n\nevent: result\ndata: {\"ok\":true,\"blocks\":2}"},
		"verify damaged":         {"POST /-/v1/snapshots/snap-1/verify", world{damaged: errors.New("rotten")}, 200, `"offset":4096,"problem":"rotten","advice":"diskport verify --repair looks for another copy; with --from IMAGE it takes it from the image that was imported","text":"snap-1, block 7, pack/00/1, at 4096: rotten"}` + "\n\nevent: result\n" + `data: {"ok":false,"blocks":2,"findings":1,"error":"snap-1, block 7, pack/00/1, at 4096: rotten"}`},
		"verify the store":       {"POST /-/v1/verify?rate=5", world{damaged: errors.New("rotten")}, 200, `event: snapshot` + "\n" + `data: {"snapshotId":"snap-1","account":"","region":"","blocks":0,"findings":1}` + "\n\nevent: result\n" + `data: {"files":5,"bytes":0,"blocks":0,"snapshots":0,"findings":1,"harmless":0,"healed":0,"notes":["note"]}`},
		"repair the store":       {"POST /-/v1/repair", world{}, 200, `"notes":["note"],"mendedBlocks":2,"mendedPages":0,"rewrittenPacks":0,"mendedRows":0,"left":1}`},
		"rebuild":                {"POST /-/v1/rebuild", world{damaged: errors.New("broken")}, 200, `data: {"broughtBack":0,"domains":0,"packs":2,"pagesFiles":0,"snapshots":3,"findings":0,"error":"broken"}`},
		"verify at a bad rate":   {"POST /-/v1/verify?rate=x", world{}, 400, `"code":"InvalidParameter"`},
		"verify locked":          {"POST /-/v1/snapshots/snap-1/verify", world{damaged: errors.Join(&keyring.Error{Key: "k", Reason: keyring.Disabled})}, 200, `{"ok":false,"blocks":2,"locked":true,"error":"keyring: key k: key-disabled"}`},
		"verify pending":         {"POST /-/v1/snapshots/snap-2/verify", world{}, 409, `"code":"IncorrectState"`},
		"sizes":                  {"GET /-/v1/snapshots/snap-1/sizes", world{}, 200, "event: progress\ndata: {\"done\":1,\"total\":2}\n\nevent: result\ndata: {\"storedBytes\":8,\"sharedBytes\":5,\"uniqueBytes\":3,\"marginBytes\":1,\"blocks\":9,\"uniqueBlocks\":4,\"volumes\":6,\"drafts\":7,\"damaged\":[\"page 7\"]}"},
		"sizes unknown":          {"GET /-/v1/snapshots/snap-1/sizes", world{damaged: errors.New("its root is gone")}, 200, `data: {"error":"its root is gone","code":"InternalError"}`},
		"sizes, deleted before":  {"GET /-/v1/snapshots/snap-1/sizes", world{damaged: snapshot.ErrNotFound}, 200, `data: {"error":"snapshot: not found","code":"NoSuchSnapshot"}`},
		"sizes of no snapshot":   {"GET /-/v1/snapshots/snap-9/sizes", world{}, 404, `"code":"NoSuchSnapshot"`},
		"sizes, somebody else's": {"GET /-/v1/snapshots/snap-3/sizes", world{}, 404, `"code":"NoSuchSnapshot"`},
		"sizes of a pending one": {"GET /-/v1/snapshots/snap-2/sizes", world{}, 409, `"code":"IncorrectState"`},
		"data somebody else's":   {"GET /-/v1/snapshots/snap-3/data", world{}, 404, `"code":"NoSuchSnapshot"`},
		"data pending":           {"GET /-/v1/snapshots/snap-2/data", world{}, 409, `"code":"IncorrectState"`},
		"data from between":      {"GET /-/v1/snapshots/snap-1/data?from=5", world{}, 400, `from is not where a block begins`},
		"data not listed":        {"GET /-/v1/snapshots/snap-1/data", world{denied: "ebs:ListSnapshotBlocks"}, 403, `not authorized to perform ebs:ListSnapshotBlocks`},
		"data of a locked key":   {"GET /-/v1/snapshots/snap-4/data", world{locked: true}, 403, `"code":"KeyUnusable","message":"the KMS key of the snapshot cannot be used: key-disabled"`},
		"data, all damaged":      {"GET /-/v1/snapshots/snap-1/data", world{damaged: errors.New("block 0")}, 500, `"code":"InternalError"`},
		"gc":                     {"POST /-/v1/gc", world{}, 200, `{"blocks":3,"files":2,"bytes":1}`},
		"gc denied":              {"POST /-/v1/gc", world{denied: "diskport:CollectGarbage"}, 403, `not authorized to perform diskport:CollectGarbage`},
		"what compacting does":   {"GET /-/v1/compact", world{}, 200, `{"packs":4,"bytes":10,"deadBytes":5,"uncompressedBytes":3}`},
		"stats":                  {"GET /-/v1/stats", world{}, 200, `{"snapshots":1,"virtualBytes":9,"dataBytes":8,"distinctBytes":1048576,"storedBytes":6,"deadBytes":1,"fileBytes":9,"blocks":2,"compressedBlocks":1,"damagedBlocks":0,"packs":1,"deduplication":0,"compression":174762.667}`},
		"stats, to another":      {"GET /-/v1/stats", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"compact":                {"POST /-/v1/compact", world{}, 200, "event: progress\ndata: {\"done\":1,\"total\":2}\n\nevent: result\ndata: {\"packs\":4,\"newPacks\":1,\"blocks\":0,\"compressed\":0,\"bytes\":9,\"locked\":[\"domain d: off\"]}"},
		"compact slowly":         {"POST /-/v1/compact?rate=7", world{}, 200, `"blocks":7`},
		"compact backwards":      {"POST /-/v1/compact?rate=-7", world{}, 400, `"code":"InvalidParameter"`},
		"compact in vain":        {"POST /-/v1/compact", world{damaged: errors.New("the disk is on fire")}, 200, `"error":"the disk is on fire"`},
		"compact, by another":    {"POST /-/v1/compact", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"plan, by another":       {"GET /-/v1/compact", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"domains":                {"GET /-/v1/domains", world{}, 200, `{"id":"dom-2","account":"1","kmsKeyArn":"arn:aws:kms:r:1:key/k","oldestDataKey":0,"newestDataKey":2,"encryptedBlocks":6,"packs":4,"outdatedPacks":3,"retiring":true}`},
		"rotate a domain":        {"POST /-/v1/domains/rotate?domain=dom-2&rate=9", world{}, 200, "event: progress\ndata: {\"done\":1,\"total\":2}\n\nevent: result\ndata: {\"domains\":[{\"domain\":\"dom-2\",\"oldestDataKey\":1,\"newestDataKey\":2,\"retiring\":true,\"packs\":4,\"newPacks\":0,\"blocks\":0,\"encryptedBlocks\":9}]}"},
		"rotate by a key":        {"POST /-/v1/domains/rotate?kmsKey=k", world{}, 200, `"domain":"dom-3"`},
		"rotate by an ARN":       {"POST /-/v1/domains/rotate?kmsKey=arn:aws:kms:r:1:key/k", world{}, 200, `"domain":"dom-2"`},
		"wrap anew":              {"POST /-/v1/domains/rotate?domain=dom-2&rewrap=true", world{}, 200, `"newestDataKey":7`},
		"rotate nothing":         {"POST /-/v1/domains/rotate", world{}, 400, `"code":"InvalidParameter"`},
		"rotate by a snapshot":   {"POST /-/v1/domains/rotate?snapshot=snap-1", world{}, 200, `"domain":"dom-2"`},
		"rotate a plain one":     {"POST /-/v1/domains/rotate?snapshot=snap-3", world{}, 404, "snapshot snap-3 has no encrypted blocks"},
		"rotate by none":         {"POST /-/v1/domains/rotate?snapshot=snap-9", world{}, 404, `"code":"NoSuchSnapshot"`},
		"rotate two things":      {"POST /-/v1/domains/rotate?domain=dom-2&kmsKey=k", world{}, 400, `"code":"InvalidParameter"`},
		"rotate what is plain":   {"POST /-/v1/domains/rotate?domain=dom-1", world{}, 404, `"code":"NoSuchDomain"`},
		"rotate in vain":         {"POST /-/v1/domains/rotate?domain=dom-2", world{damaged: errors.New("off")}, 200, `"error":"off"`},
		"rotate, by another":     {"POST /-/v1/domains/rotate?domain=dom-2", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"rotate the master key":  {"POST /-/v1/master-key/rotate", world{}, 200, `{"secrets":5}`},
		"rotate it in vain":      {"POST /-/v1/master-key/rotate", world{damaged: errors.New("no room")}, 409, `"message":"no room"`},
		"rotate it, by another":  {"POST /-/v1/master-key/rotate", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"domains, to another":    {"GET /-/v1/domains", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"accounts":               {"GET /-/v1/accounts", world{}, 200, `{"accounts":[{"id":"1","accessKeyId":"AKIA1","createdAt":"2026-01-02T03:04:05Z"}]}`},
		"any new account":        {"POST /-/v1/accounts", world{}, 200, `{"id":"7","accessKeyId":"AKIA2","secretAccessKey":"hush","createdAt":"2026-01-02T03:04:05Z"}`},
		"a new account":          {"POST /-/v1/accounts/2", world{}, 200, `"id":"2"`},
		"an account that exists": {"POST /-/v1/accounts/1", world{}, 409, `"code":"AccountExists"`},
		"a removed account":      {"POST /-/v1/accounts/4", world{}, 409, `account 4 was removed, and its id is never given again, since ciphertexts, shares and policies may name it still: choose another id, or leave it out to get one`},
		"a bad account":          {"POST /-/v1/accounts/x", world{}, 400, `"message":"an account id has twelve digits"`},
		"account removed":        {"DELETE /-/v1/accounts/2", world{}, 200, `{}`},
		"no account removed":     {"DELETE /-/v1/accounts/9", world{}, 404, `"code":"NoSuchAccount"`},
		"account in use":         {"DELETE /-/v1/accounts/2", world{owned: map[string]string{"2": "3 buckets"}}, 409, `account 2 still owns 3 buckets`},
		"own account removed":    {"DELETE /-/v1/accounts/1", world{}, 409, `the service's own`},
		"gc, by another":         {"POST /-/v1/gc", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"accounts, to another":   {"GET /-/v1/accounts", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"added by another":       {"POST /-/v1/accounts/3", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"removed by another":     {"DELETE /-/v1/accounts/2", world{caller: "2"}, 403, `"code":"AccessDenied"`},
		"wrong method":           {"GET /-/v1/gc", world{}, 404, `"code":"NoSuchPath"`},
		"unknown path":           {"GET /-/v1/nothing", world{}, 404, `"code":"NoSuchPath"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.world.states = []importtask.Task{running()}
			method, path, _ := strings.Cut(tt.request, " ")
			rec := tt.world.ask(t, method, path)
			if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.body) {
				t.Errorf("answer %d %s, want %d with %s", rec.Code, rec.Body, tt.status, tt.body)
			}
		})
	}
}

func TestListsComeInPages(t *testing.T) {
	for path, want := range map[string][]string{
		"tasks": {"import-snap-1", "import-snap-2", "import-snap-3"}, "snapshots": {"snap-1", "snap-2", "snap-4"}, "image-tasks": {"import-ami-1"},
	} {
		for limit := 1; limit <= 4; limit++ {
			var got []string
			for next, first := "", true; first || next != ""; first = false {
				w := &world{states: []importtask.Task{running()}}
				query := url.Values{"limit": {strconv.Itoa(limit)}, "after": {next}}
				var page struct {
					Tasks, Snapshots []struct{ ID string }
					Next             string
				}
				rec := w.ask(t, "GET", "/-/v1/"+path+"?"+query.Encode())
				if err := json.Unmarshal(rec.Body.Bytes(), &page); err != nil || rec.Code != 200 {
					t.Fatalf("%d %s, %v", rec.Code, rec.Body, err)
				}
				for _, e := range append(page.Tasks, page.Snapshots...) {
					got = append(got, e.ID)
				}
				next = page.Next
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s by %d (-want +got):\n%s", path, limit, diff)
			}
		}
	}
}

func TestEveryRouteAsksForARight(t *testing.T) {
	for _, rt := range routes {
		t.Run(rt.pattern, func(t *testing.T) {
			method, path, _ := strings.Cut(strings.Replace(rt.pattern, "{id}", "snap-1", 1), " ")
			w := &world{states: []importtask.Task{running()}, denied: rt.action}
			if rec := w.ask(t, method, path); rec.Code != http.StatusForbidden {
				t.Errorf("answer %d without the right %s, want 403", rec.Code, rt.action)
			}
		})
	}
}

// TestWatchersOfWhatWaitsAreCalm: a stream looks at a task that does not change less and
// less often, but tells its end at once.
func TestWatchersOfWhatWaitsAreCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{poll: 100 * time.Millisecond}
		waiting := importtask.Task{ID: "import-snap-1", Account: "1", State: importtask.Active}
		for range 1000 {
			w.states = append(w.states, waiting)
		}
		e := w.edge()
		e.Bus = &wake.Bus{}
		rec := httptest.NewRecorder()
		over := make(chan struct{})
		go func() {
			defer close(over)
			e.ServeAWS(rec, httptest.NewRequest("GET", "/-/v1/tasks/import-snap-1/events", nil), &awshttp.Call{Principal: iam.Principal{Account: "1"}})
		}()
		time.Sleep(time.Minute + 50*time.Millisecond)
		synctest.Wait()
		if w.looks < 8 || w.looks > 15 {
			t.Errorf("it looked %d times within a minute", w.looks)
		}
		w.states = []importtask.Task{completed()}
		began := time.Now()
		e.Bus.Wake(wake.Task("import-snap-1"))
		<-over
		if waited := time.Since(began); waited != 0 || strings.Count(rec.Body.String(), "event: task\n") != 2 {
			t.Errorf("the end was told after %v: %s", waited, rec.Body)
		}
	})
}

// TestStreamsEndWhenTheServiceStops: a stream that waits for its task would
// otherwise hold up the end of the service for as long as the task takes.
func TestStreamsEndWhenTheServiceStops(t *testing.T) {
	stopping := make(chan struct{})
	close(stopping)
	w := world{states: []importtask.Task{{ID: "import-snap-1", Account: "1", State: importtask.Active}}, stopping: stopping, poll: time.Hour}
	got := w.ask(t, "GET", "/-/v1/tasks/import-snap-1/events")
	if n := strings.Count(got.Body.String(), "event: task"); n != 1 {
		t.Errorf("%d events, want the state as it was, then the end: %s", n, got.Body)
	}
}

// TestAnotherRegion: tasks and snapshots are found in their own region alone.
func TestAnotherRegion(t *testing.T) {
	for _, path := range []string{"GET tasks/import-snap-1", "GET tasks/import-snap-1/events", "GET image-tasks/import-ami-1", "GET image-tasks/import-ami-1/events", "GET snapshots/snap-1", "GET snapshots/snap-1/data", "POST snapshots/snap-1/verify", "GET snapshots/snap-1/sizes"} {
		method, path, _ := strings.Cut(path, " ")
		w := &world{states: []importtask.Task{running()}, region: "eu-west-1"}
		if rec := w.ask(t, method, "/-/v1/"+path); rec.Code != http.StatusNotFound {
			t.Errorf("%s %s: got %d %s", method, path, rec.Code, rec.Body)
		}
	}
	w := &world{region: "eu-west-1"}
	if rec := w.ask(t, "GET", "/-/v1/snapshots"); rec.Code != http.StatusOK || strings.Contains(rec.Body.String(), "snap-1") {
		t.Errorf("listed: got %d %s", rec.Code, rec.Body)
	}
}
