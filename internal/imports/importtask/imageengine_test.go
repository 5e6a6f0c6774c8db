package importtask_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

const imageTaskID = "import-ami-0123456789abcdef0"

// machine returns an OVA of raw disks, of a UEFI machine.
func machine(disks ...[]byte) []byte {
	var names []string
	members := []imagetest.Member{{Name: "vm.ovf"}}
	for i, d := range disks {
		names = append(names, fmt.Sprintf("disk%d.raw", i+1))
		members = append(members, imagetest.Member{Name: names[i], Data: d})
	}
	const said = `<VirtualSystem><OperatingSystemSection osType="arm-debian12-64"/><VirtualHardwareSection><Config key="firmware" value="efi"/></VirtualHardwareSection></VirtualSystem>`
	members[0].Data = []byte(strings.Replace(string(imagetest.OVF(names...)), "</Envelope>", said+"</Envelope>", 1))
	return imagetest.Tar(members...)
}

// acceptImage makes the task of an image with the engine's object in each of some
// containers.
func (e *engine) acceptImage(containers int, change ...func(*importtask.ImageTask)) {
	e.t.Helper()
	task := importtask.ImageTask{ID: imageTaskID, Account: account, Region: home.Region, Spec: importtask.ImageSpec{RoleName: "vmimport"}}
	for n := range containers {
		at := importtask.Place{Container: n + 1, Disk: 1}
		pin := source.Pin{Kind: source.Embedded, ID: importtask.DiskID(task.ID, at), Bucket: "images", Key: "vm.ova", Size: int64(len(e.object.data))}
		task.Disks = append(task.Disks, importtask.Task{
			ID: pin.ID, ImageTask: task.ID, Place: at, Account: account, Region: home.Region, Pin: pin.String(), RoleName: "vmimport", SourceBytes: pin.Size,
		})
	}
	for _, c := range change {
		c(&task)
	}
	if _, _, err := e.Store.CreateImage(e.t.Context(), task, 10); err != nil {
		e.t.Fatal(err)
	}
}

func (e *engine) imageTask() importtask.ImageTask {
	e.t.Helper()
	task, err := e.Store.GetImage(e.t.Context(), home, imageTaskID)
	if err != nil {
		e.t.Fatal(err)
	}
	return task
}

// run does all units that there are.
func (e *engine) run() {
	e.t.Helper()
	for e.step(everything...) {
	}
}

// imageMade checks that the import made an image of disks, and returns it.
func (e *engine) imageMade(disks ...[]byte) image.Image {
	e.t.Helper()
	task := e.imageTask()
	if task.State != importtask.Completed {
		e.t.Fatalf("the task is %s: %+v\n%s", task.State, task.Failure, e.logged.String())
	}
	made, err := e.db.Images().Get(e.t.Context(), home.Region, task.ImageID)
	if err != nil || len(made.Devices) != len(disks) || made.State != image.Available {
		e.t.Fatalf("the image is %+v, %v", made, err)
	}
	for i, d := range disks {
		if why, ok := e.right(made.Devices[i].Snapshot, d); !ok {
			e.t.Errorf("disk %d: %v", i, why)
		}
	}
	return made
}

// TestAnImageWhoseNameIsTaken: clients know the task's id, which is the image's name, before
// there is an image, and may give the name to another.
func TestAnImageWhoseNameIsTaken(t *testing.T) {
	e := newEngine(t, machine(disk(8)))
	e.acceptImage(1)
	squatter := image.Image{ID: "ami-0123456789abcdef0", Account: account, Region: home.Region, Name: imageTaskID, Created: e.Now()}
	if err := e.db.Images().Register(t.Context(), squatter); err != nil {
		t.Fatal(err)
	}
	e.run()
	task := e.imageTask()
	if task.State != importtask.Deleted || task.Failure.Reason != "image-name" || !strings.Contains(task.Failure.Message, squatter.ID) {
		t.Errorf("the task is %s for %+v, and waits because of %+v", task.State, task.Failure, task.Disks[0].Retry)
	}
}

// nothingMade checks that nothing but its failure is left of the task.
func (e *engine) nothingMade() importtask.Failure {
	e.t.Helper()
	task := e.imageTask()
	snaps, err := e.db.Snapshots().List(e.t.Context(), home, snapshot.Filter{}, listing.Place{}, 10)
	images, ierr := e.db.Images().Owned(e.t.Context(), account)
	if task.State != importtask.Deleted || task.Failure.Message == "" || len(snaps) != 0 || images != 0 || err != nil || ierr != nil {
		e.t.Errorf("the task is %s for %+v, %d snapshots and %d images stay, %v, %v", task.State, task.Failure, len(snaps), images, err, ierr)
	}
	if e.step(everything...) {
		e.t.Error("there is still something to do for it")
	}
	return task.Failure
}

func TestAnOVABecomesAnImage(t *testing.T) {
	first, second := disk(8), disk(3)
	e := newEngine(t, machine(first, second))
	e.acceptImage(1)
	e.run()
	made := e.imageMade(first, second)
	if n := e.object.released.Load(); n != 1 {
		t.Errorf("the source was released %d times", n)
	}
	want := image.Image{
		ID: made.ID, Account: account, Region: home.Region, Name: imageTaskID, Description: "Created by AWS-VMImport service for " + imageTaskID,
		Architecture: "arm64", BootMode: "uefi", Virtualization: "hvm", RootDevice: "/dev/sda1", Created: made.Created, State: image.Available,
	}
	for i, name := range []string{"/dev/sda1", "/dev/sdb"} {
		want.Devices = append(want.Devices, image.Device{Name: name, Snapshot: made.Devices[i].Snapshot, VolumeSize: 1, VolumeType: "gp2", DeleteOnTermination: true})
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("the image (-want +got):\n%s", diff)
	}
	task := e.imageTask()
	total, done := task.Total()
	if d := task.Disks[1]; d.Member != "disk2.raw" || d.Format != "OVA" || total == 0 || done.Done < total {
		t.Errorf("disk %+v, %d of %d bytes", d, done.Done, total)
	}
	e.told(outbox.Event{Kind: outbox.ImportCompleted, Resource: imageTaskID, Detail: outbox.Detail{Image: made.ID}},
		outbox.Event{Kind: outbox.SnapshotCompleted, Resource: made.Devices[0].Snapshot}, outbox.Event{Kind: outbox.SnapshotCompleted, Resource: made.Devices[1].Snapshot})
	for _, s := range made.Devices {
		if rec, err := e.db.Snapshots().Get(t.Context(), home.Region, s.Snapshot); err != nil || rec.GeneratedDescription() != want.Description {
			t.Errorf("the snapshot is %+v, %v", rec, err)
		}
	}
}

// TestAnImageOfDisksAndSnapshots: what was asked for comes before what an OVA says, and
// names of devices are given once.
func TestAnImageOfDisksAndSnapshots(t *testing.T) {
	whole := disk(6)
	e := newEngine(t, whole)
	e.accept()
	e.run()
	given := e.task().SnapshotID
	e.acceptImage(2, func(task *importtask.ImageTask) {
		task.Spec = importtask.ImageSpec{
			Description: "d", Architecture: "i386", BootMode: "legacy-bios", Platform: "Windows", UsageOperation: "RunInstances:0002",
			Given: []importtask.Given{{Container: 3, Snapshot: given}, {Container: 4, Snapshot: given, Device: "/dev/sdc"}},
		}
		task.Disks[0].Format, task.Disks[1].Format = "RAW", "RAW"
		task.Disks[1].Device = "/dev/sdc"
	})
	e.run()
	made := e.imageMade(whole, whole, whole, whole)
	var names []string
	for _, d := range made.Devices {
		names = append(names, d.Name)
	}
	if diff := cmp.Diff([]string{"/dev/sda1", "/dev/sdc", "/dev/sdd", "/dev/sde"}, names); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
	if made.Devices[2].Snapshot != given || made.Description != "d" || made.Architecture != "i386" || made.BootMode != "legacy-bios" || made.Platform != "Windows" || made.UsageOperation != "RunInstances:0002" {
		t.Errorf("the image is %+v", made)
	}
}

func TestAFailureNamesItsDisk(t *testing.T) {
	for name, c := range map[string]struct {
		object       []byte
		text, reason string
	}{
		"a disk of an OVA": {
			imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF("good.raw", "bad.vmdk")}, imagetest.Member{Name: "good.raw", Data: disk(2)}, imagetest.Member{Name: "bad.vmdk", Data: []byte("Hello")}),
			"ClientError: Disk validation failed [", "(disk 1.2 bad.vmdk)",
		},
		"a disk with a name that controls terminals": {
			imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF("good.raw", "b&#x9b;d.vmdk")}, imagetest.Member{Name: "good.raw", Data: disk(2)}, imagetest.Member{Name: "b\u009bd.vmdk", Data: []byte("Hello")}),
			"ClientError: Disk validation failed [", "(disk 1.2 b?d.vmdk)",
		},
		"not an OVA": {[]byte(strings.Repeat("x", 1024)), "ClientError: Disk validation failed [Unsupported OVA format]", "(disk 1 vm.ova)"},
		"an OVA":     {imagetest.Tar(imagetest.Member{Name: "vm.ovf", Data: imagetest.OVF()}), "ClientError: Disk validation failed [Unsupported OVA format]", "(disk 1 vm.ova)"},
		"too many disks": {
			machine(make([][]byte, importtask.MaxDisks+1)...),
			"ClientError: Disk validation failed [The number of disks exceeds the allowed limit]", "(disk 1 vm.ova)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, c.object)
			e.acceptImage(1, func(task *importtask.ImageTask) { task.Disks[0].Format = "OVA" })
			e.run()
			if f := e.nothingMade(); !strings.HasPrefix(f.Message, c.text) || !strings.HasSuffix(f.Message, c.reason) {
				t.Errorf("it failed with %q", f.Message)
			}
		})
	}
}

// TestDisksThatDoNotFitTogether: the second of two disks is refused when there is room for
// each of them alone.
func TestDisksThatDoNotFitTogether(t *testing.T) {
	d := disk(8)
	e := newEngine(t, machine(d, d))
	e.FreeSpace = func() (int64, error) { return int64(len(d)) * 3 / 2, nil }
	e.Store = mortal{e.Store, &death{at: "FinishRange"}} // the first is not stored yet
	e.acceptImage(1)
	e.run()
	if f := e.nothingMade(); f.Reason != "store-full" || !strings.HasSuffix(f.Message, "(disk 1.2 disk2.raw)") {
		t.Errorf("it failed with %+v", f)
	}
}

func TestAGivenSnapshotThatIsGone(t *testing.T) {
	e := newEngine(t, disk(2))
	e.acceptImage(1, func(task *importtask.ImageTask) {
		task.Spec.Given = []importtask.Given{{Container: 2, Snapshot: "snap-00000000000000001"}}
		task.Disks[0].Format = "RAW"
	})
	e.run()
	if f := e.nothingMade(); f.Reason != "snapshot-missing" || f.Message != "ClientError: The snapshot 'snap-00000000000000001' does not exist" {
		t.Errorf("it failed with %+v", f)
	}
}

// TestCancelAnImage: at every stage of its disks, nothing is left.
func TestCancelAnImage(t *testing.T) {
	imagetest.Volume(t)
	big := disk(140) // too large a range for the plan's lane
	object := machine(big, big)
	for stage, steps := range map[string][]work.Kind{
		"accepted":            nil,
		"one disk is planned": {work.Plan},
		"all are planned":     {work.Plan, work.Plan},
		"one is imported":     {work.Plan, work.Plan, work.Range},
		"all but published":   {work.Plan, work.Plan, work.Range, work.Range},
	} {
		t.Run(stage, func(t *testing.T) {
			e := newEngine(t, object)
			if stage == "all but published" { // it is given back for another lane
				e.Store = mortal{e.Store, &death{at: "Publish"}}
			}
			e.acceptImage(1)
			for _, kind := range steps {
				if !e.step(kind) {
					t.Fatalf("no %s unit", kind)
				}
			}
			if was, err := e.Store.Cancel(t.Context(), home, imageTaskID, importtask.Cancelled("")); err != nil || was != importtask.Active {
				t.Fatal(was, err)
			}
			e.run()
			if f := e.nothingMade(); !f.Cancelled() {
				t.Errorf("it failed with %+v", f)
			}
		})
	}
}

// mortal is a store whose caller dies at one of its events.
type mortal struct {
	importtask.Store
	*death
}

// death happens at the next event of a name, or at one of a number.
type death struct {
	at    string
	event int  // counts down to 0
	after bool // the event has happened
}

var errDead = errors.New("killed")

func (d *death) reach(name string, do func() error) error {
	d.event--
	dies := d.event == 0 || d.at == name
	if dies {
		d.at = ""
	}
	if dies && !d.after {
		return errDead
	}
	if err := do(); err != nil || !dies {
		return err
	}
	return errDead
}

func (m mortal) SetPhase(ctx context.Context, l work.Lease, p importtask.Phase, format string) error {
	return m.reach("SetPhase", func() error { return m.Store.SetPhase(ctx, l, p, format) })
}

func (m mortal) Split(ctx context.Context, l work.Lease, machine importtask.Machine, members []string) error {
	return m.reach("Split", func() error { return m.Store.Split(ctx, l, machine, members) })
}

func (m mortal) Planned(ctx context.Context, l work.Lease, p importtask.Plan) (next work.Lease, ok bool, err error) {
	err = m.reach("Planned", func() (err error) { next, ok, err = m.Store.Planned(ctx, l, p); return err })
	return next, ok, err
}

func (m mortal) FinishRange(ctx context.Context, l work.Lease, r importtask.RangeResult) (next work.Lease, ok bool, err error) {
	err = m.reach("FinishRange", func() (err error) { next, ok, err = m.Store.FinishRange(ctx, l, r); return err })
	return next, ok, err
}

func (m mortal) Publish(ctx context.Context, l work.Lease, p importtask.Published) error {
	return m.reach("Publish", func() error { return m.Store.Publish(ctx, l, p) })
}

// TestAnImageSurvivesDeaths: a process that dies before or after any event of an image's
// import leaves one that goes on.
func TestAnImageSurvivesDeaths(t *testing.T) {
	imagetest.Volume(t)
	first, second := disk(2), disk(1)
	for event := 1; ; event++ {
		for _, after := range []bool{false, true} {
			e := newEngine(t, machine(first, second))
			d := &death{event: event, after: after}
			e.Store = mortal{e.Store, d}
			e.acceptImage(1)
			for range 3 {
				e.run()
				if err := e.db.Work().ExpireAll(t.Context()); err != nil {
					t.Fatal(err)
				}
				later := e.runner.Now().Add(time.Minute)
				e.runner.Now = func() time.Time { return later }
			}
			e.imageMade(first, second)
			if err := e.Close(); err != nil { // what died with the process
				t.Error(err)
			}
			if d.event > 0 {
				return
			}
		}
	}
}
