package cluster

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/metadb/pgtest"
)

var (
	seed      = flag.Uint64("seed", 63, "which faults there are, and what clients ask for; 0: any")
	rounds    = flag.Int("rounds", 5, "TestHistory: how many faults there are in each history")
	histories = flag.Int("histories", 1, "TestHistory: how many there are, with seeds from -seed on")
	kills     = flag.Int("kills", 2, "TestTakeover: how often a node is killed in the middle of an import")
	timed     = flag.Duration("takeover", 0, "TestTakeover: how long units may be with a node that was killed; 0: as long as it takes")
	keep      = flag.String("keep", "", "the folder that a failed run leaves its logs in")
	program   = flag.String("program", "", "the program; empty: it is built")
)

// patience is how long what must come may take: only what hangs takes longer.
const patience = 20 * time.Minute

var postgres *pgtest.Server

// TestMain builds the program as users get it, and starts a PostgreSQL.
func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	pgtest.Main(building{m}, func(s *pgtest.Server) { postgres = s })
}

// building runs tests with the program, which it builds.
type building struct{ *testing.M }

// Run is called by pgtest.Main.
func (b building) Run() int {
	dir, err := os.MkdirTemp("", "diskport-cluster-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return b.M.Run()
}

func build(dir string) error {
	if *program != "" {
		return nil
	}
	*program = filepath.Join(dir, "diskport")
	build := exec.Command("go", "build", "-o", *program, "../../cmd/diskport")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building diskport: %w\n%s", err, out)
	}
	return nil
}

// start starts a cluster of three nodes for a test. Its database's URL is returned too.
func start(t *testing.T, args ...string) (*Cluster, string) {
	t.Helper()
	return startNodes(t, 3, args...)
}

func startNodes(t *testing.T, nodes int, args ...string) (*Cluster, string) {
	t.Helper()
	dir, database := t.TempDir(), postgres.New(t)
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Program: *program, Dir: filepath.Join(dir, "cluster"), Database: database, Nodes: nodes,
		Args: append([]string{"--log-format", "json", "--quota-imports", "10000", "--request-rate", "-1"}, args...),
		Log: func(process string) io.Writer {
			f, err := os.Create(filepath.Join(logs, process+".log"))
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
	}
	c, err := Start(t.Context(), o)
	if err != nil {
		keepLogs(t, logs)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("ending the cluster: %v", err)
		}
		if t.Failed() {
			keepLogs(t, logs)
		}
	})
	return c, database
}

// keepLogs leaves the logs for whoever looks into a failure, and shows what they complain of.
func keepLogs(t *testing.T, logs string) {
	if *keep != "" {
		if err := os.CopyFS(filepath.Join(*keep, fmt.Sprintf("seed-%d", *seed), t.Name()), os.DirFS(logs)); err != nil {
			t.Logf("keeping the logs: %v", err)
		}
	}
	const most = 20
	files, _ := filepath.Glob(filepath.Join(logs, "*.log"))
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Log(err)
			continue
		}
		var bad []string
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, `"level":"ERROR"`) || filepath.Base(path) == "front.log" {
				bad = append(bad, line)
			}
		}
		t.Logf("the last errors of %s:\n%s", filepath.Base(path), strings.Join(bad[max(0, len(bad)-most):], ""))
	}
}
