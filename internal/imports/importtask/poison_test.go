package importtask_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/work"
)

// The environment of a process that TestPoisonKills starts: where its database is, and what it
// dies of.
const (
	poisonDir  = "POISON_DIR"
	poisonKind = "POISON_KIND"
)

// poisons are what no guard helps against.
var poisons = map[string]func(){
	"a panic in a goroutine of its own": func() {
		go func() { panic("planted") }()
		select {}
	},
	"more memory than there is": func() {
		var all [][]byte
		for n := 1 << 40; ; n *= 2 { // no machine has it, so nothing else is hurt
			all = append(all, make([]byte, n))
			for i := range all {
				all[i][0] = 1
			}
		}
	},
}

// TestPoisonedProcess is a service that starts, goes on with its tasks, and may die of one.
func TestPoisonedProcess(t *testing.T) {
	dir := os.Getenv(poisonDir)
	if dir == "" {
		return // TestPoisonKills starts it
	}
	e := newEngineIn(t, dir, disk(8))
	e.SetDetect(func(r io.ReaderAt, size int64, o detect.Options) (diskimage.Disk, error) {
		if o.Name == "poison" {
			poisons[os.Getenv(poisonKind)]()
		}
		return detect.Open(r, size, o)
	})
	e.restart()
	for e.step(everything...) {
	}
}

// TestPoisonKills: an image that kills the process that looks at it, each time anew, ends its own task with a
// reason, and no other.
func TestPoisonKills(t *testing.T) {
	for kind := range poisons {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			const deaths = 3 // of processes; those before are only counted
			dir, image := t.TempDir(), disk(8)
			e := newEngineIn(t, dir, image)
			pin := source.Pin{Kind: source.Embedded, ID: taskID, Bucket: "images", Key: "poison", Size: int64(len(image))}
			_, _, err := e.Store.Create(t.Context(), importtask.Task{ID: taskID, Account: account, Region: home.Region, Pin: pin.String(), RoleName: "vmimport"}, 10)
			if err != nil {
				t.Fatal(err)
			}
			for range work.MaxClaims - deaths {
				if _, ok, err := e.db.Work().Claim(t.Context(), work.Claimer{Owner: "dies", Kinds: []work.Kind{work.Plan}}, time.Now()); !ok || err != nil {
					t.Fatal(ok, err)
				}
				e.restart()
			}
			const innocent = "import-snap-0123456789abcdef1"
			e.acceptAs(innocent)
			start := func() (string, error) {
				cmd := exec.Command(os.Args[0], "-test.run=^TestPoisonedProcess$")
				cmd.Env = append(os.Environ(), poisonDir+"="+dir, poisonKind+"="+kind)
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				err := cmd.Run()
				return out.String(), err
			}
			for n := range deaths {
				if out, err := start(); err == nil || !bytes.Contains([]byte(out), []byte("goroutine ")) {
					t.Fatalf("process %d ended with %v:\n%s", n+1, err, out)
				}
				if s := e.task().State; s != importtask.Active {
					t.Fatalf("after %d deaths the task is %s", n+1, s)
				}
			}
			if out, err := start(); err != nil {
				t.Fatalf("the last process ended with %v:\n%s", err, out)
			}
			if f := e.task().Failure; f.Reason != "poison" || f.Hint == "" {
				t.Errorf("the task failed with %+v", f)
			}
			other, err := e.Store.Get(t.Context(), home, innocent)
			if err != nil || other.State != importtask.Completed {
				t.Errorf("the other task is %s: %+v, %v", other.State, other.Failure, err)
			}
		})
	}
}
