// Package torture kills the service, over and over and at every step that it has, cuts its
// power and fills its disk, and looks whether anything was lost, or left behind.
//
// A world (world_test.go) is what clients asked of the service and what it answered. They
// do so under load (load_test.go) while it dies; once it runs again the world is settled
// and compared with what the service says, and with its files and rows
// (check_test.go). kills_test.go kills the process, cuts_test.go makes from a recording of
// its system calls the directories that a power cut could have left, fills_test.go fills the
// disk of a service that is held at a point, and makes room again.
//
// A run prints its seed: go test ./e2e/torture -seed N begins in the same way again.
package torture

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/metadb/pgtest"
)

var (
	seed  = flag.Uint64("seed", 1, "where the run begins; 0: anywhere")
	kills = flag.Int("kills", 200, "how often the service is killed")
	nodes = flag.Int("node-kills", 12, "TestKillsOnNodes: how often")
	// A machine may be many times slower than others: a run ends in time all the same, and
	// says how far it came.
	budget = flag.Duration("budget", 8*time.Minute, "how long the kills may take, the cuts, and the fills; 0: as long as they take")
	keep   = flag.String("keep", "", "the folder that a failed run leaves its data directory in")
)

// program is the service under test, with fail points.
var program string

var built = flag.String("program", "", "the service under test, with fail points; empty: it is built")

// TestMain builds the program, and hides the user's own settings.
func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	pgtest.Main(tests{m}, func(s *pgtest.Server) { postgres = s })
}

// tests are run with the program, which they build.
type tests struct{ *testing.M }

// Run is called by pgtest.Main.
func (m tests) Run() int {
	hideSettings()
	if program = *built; program != "" {
		return m.M.Run()
	}
	dir, err := os.MkdirTemp("", "diskport-torture-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "diskport")
	build := exec.Command("go", "build", "-tags", "failpoints", "-o", program, "../../cmd/diskport")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building diskport: %v\n%s", err, out)
		return 1
	}
	return m.M.Run()
}

func hideSettings() {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "DISKPORT_") {
			os.Unsetenv(name)
		}
	}
}
