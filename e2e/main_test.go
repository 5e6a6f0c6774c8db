// Package e2e tests the built program from outside: the real AWS CLI, the AWS
// SDK for Go, and diskport's own command line, each against services of their
// own on free ports.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/metadb/pgtest"
)

// postgres is set by TestMain, for the tests of many nodes.
var postgres *pgtest.Server

func TestMain(m *testing.M) { pgtest.Main(tests{m}, func(s *pgtest.Server) { postgres = s }) }

// tests are run with the program, which is built as users get it: without cgo,
// without the race detector.
type tests struct{ m *testing.M }

func (b tests) Run() int {
	if !flag.Parsed() {
		flag.Parse()
	}
	dir, err := os.MkdirTemp("", "diskport-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "diskport"), "../cmd/diskport")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building diskport: %v\n%s", err, out)
		return 1
	}
	// The tests find the program, and none of the user's own settings.
	os.Setenv("PATH", dir+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "DISKPORT_") {
			os.Unsetenv(name)
		}
	}
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Setenv("AWS_CONFIG_FILE", os.DevNull)
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	if *on == ofCluster {
		defer sumApart()
	}
	return b.m.Run()
}
