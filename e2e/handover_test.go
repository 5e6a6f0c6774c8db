package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/client"
)

// TestFilesAreHandedOver: a service on the data directory reads a file where it is; one that is
// reached by its address alone gets it by upload. Both know what it is called.
func TestFilesAreHandedOver(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("long/", 30)) // longer than an address of a socket may be
	s := start(t, data)
	file := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(file, imagetest.Mixed(3<<20, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args   []string
		bucket string
	}{
		"by data directory": {[]string{"--data", data}, ""},
		"by address":        {[]string{"--endpoint", s.endpoint, "--data", t.TempDir()}, client.ImportName},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("diskport", append([]string{"import", "--json", "--format", "raw", file}, tt.args...)...)
			cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_REGION="+region)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.Output()
			var done struct{ ImportTaskID string }
			if err := json.Unmarshal(out, &done); err != nil {
				t.Fatalf("%v, %s", err, errs.String())
			}
			task, terr := s.Task(t.Context(), done.ImportTaskID)
			if err != nil || terr != nil || task.Bucket != tt.bucket || task.SourceName != "disk.raw" || task.Status != "completed" {
				t.Errorf("%v, %v: %+v\n%s", err, terr, task, errs.String())
			}
		})
	}
}

// TestCommandsTrustTheirService: commands on the data directory know the service by its
// certificate, whoever signed it, and tell AWS clients of it.
func TestCommandsTrustTheirService(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := makeCertificate(t, dir)
	data := filepath.Join(dir, "data")
	s := start(t, data, "--tls-cert", certFile, "--tls-key", keyFile)
	out, err := exec.Command("diskport", "snapshots", "--json", "--data", data).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "[]" {
		t.Errorf("snapshots: %v, %s", err, out)
	}
	out, err = exec.Command("diskport", "env", "--data", data).Output()
	if want := "export AWS_CA_BUNDLE='" + data + "/certificate.pem'"; err != nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "='"+s.endpoint+"'") {
		t.Errorf("env: %v, %s", err, out)
	}
	if err := os.Remove(filepath.Join(data, "certificate.pem")); err != nil {
		t.Fatal(err)
	}
	out, err = exec.Command("diskport", "snapshots", "--data", data).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "certificate can't be trusted") || strings.Contains(string(out), "in use") {
		t.Errorf("without it: %v, %s", err, out)
	}
}
