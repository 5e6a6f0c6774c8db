package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs command lines as users type them. Each script has a data
// directory of its own and no service, unless it starts one.
func TestScripts(t *testing.T) {
	path := os.Getenv("PATH")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", path)
			e.Setenv("DISKPORT_DATA", filepath.Join(e.WorkDir, "data"))
			e.Setenv("TMPDIR", filepath.Join(e.WorkDir, ".tmp"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mkdisk":    mkdisk,
			"serve":     serve,
			"save":      save,
			"exitcode":  exitCode,
			"identical": identical,
			"samemap":   sameMap,
		},
	})
}

// mkdisk makes a raw disk with some data: mkdisk FILE
func mkdisk(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(f.Truncate(64 << 20))
	for i := range int64(8) {
		for half := range int64(2) { // no two blocks are the same
			letter := string(rune('a' + 2*i + half))
			_, err := f.WriteAt([]byte(strings.Repeat(letter, 512<<10)), i*(7<<20)+half*(512<<10))
			ts.Check(err)
		}
	}
	ts.Check(f.Close())
}

// serve runs a service on the data directory until the script ends.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command("diskport", append([]string{"serve", "--listen=127.0.0.1:0", "--reserve=0", "--data", ts.Getenv("DISKPORT_DATA")}, args...)...)
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	buf := make([]byte, 1) // the first line comes when it listens
	_, err = out.Read(buf)
	ts.Check(err)
}

// save keeps the last line of what was printed in a variable: save NAME
func save(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
	ts.Setenv(args[0], lines[len(lines)-1])
}

// exitCode runs a command that must end with a code: exitcode CODE COMMAND…
func exitCode(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if exit, ok := err.(*exec.ExitError); ok { // testscript does not wrap it
		got = strings.TrimPrefix(exit.String(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("%v ended with %s, want %s", args[1:], got, args[0])
	}
}

// identical compares two files: identical A B
func identical(ts *testscript.TestScript, neg bool, args []string) {
	if same := ts.ReadFile(args[0]) == ts.ReadFile(args[1]); same == neg {
		ts.Fatalf("identical files: %t", same)
	}
}

// sameMap compares where two maps, of diskport and of qemu-img, say that data is.
func sameMap(ts *testscript.TestScript, _ bool, args []string) {
	a, b := dataRanges(ts, args[0]), dataRanges(ts, args[1])
	if len(a) == 0 || !slices.Equal(a, b) {
		ts.Fatalf("data at %v in %s, at %v in %s", a, args[0], b, args[1])
	}
}

// dataRanges returns the starts and ends of data, neighbours joined.
func dataRanges(ts *testscript.TestScript, file string) (edges []int64) {
	var extents []struct {
		Start, Length int64
		Data          bool
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &extents))
	for _, e := range extents {
		if !e.Data {
			continue
		}
		if n := len(edges); n > 0 && edges[n-1] == e.Start {
			edges = edges[:n-1]
		} else {
			edges = append(edges, e.Start)
		}
		edges = append(edges, e.Start+e.Length)
	}
	return edges
}
