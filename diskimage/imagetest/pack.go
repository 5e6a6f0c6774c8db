package imagetest

import (
	"bytes"
	"os/exec"
	"testing"
)

// Pack returns data packed by a tool ("gzip", "xz", "bzip2", "zstd") with the
// arguments. The test fails if the tool is missing.
func Pack(t testing.TB, data []byte, tool string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(tool, append(args, "-c")...)
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v (Debian and Ubuntu: gzip, xz-utils, bzip2, zstd)\n%s", tool, args, err, &complaint)
	}
	return out.Bytes()
}
