package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

func TestParseSize(t *testing.T) {
	tests := map[string]int64{
		"0": 0, "4096": 4096, "1KiB": 1024, "1 GiB": 1 << 30, "500MB": 500e6, "7B": 7, "2TiB": 2 << 40,
		"": -1, "GiB": -1, "-1": -1, "1.5GiB": -1, "1XiB": -1, "9223372036854775807KiB": -1,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			got, err := parseSize(text)
			if want < 0 && err == nil || want >= 0 && (err != nil || got != want) {
				t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	tests := map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 30: "1.0 GiB", 64 << 40: "64.0 TiB",
	}
	for n, want := range tests {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestOldAWS(t *testing.T) {
	tests := map[string]struct {
		output  string
		version string
		old     bool
	}{
		"Debian 12":    {"aws-cli/2.9.19 Python/3.11.2 Linux/6.1.0 source/x86_64.debian.12\n", "2.9.19", true},
		"first good 2": {"aws-cli/2.13.0 Python/3.11.4", "2.13.0", false},
		"last bad 1":   {"aws-cli/1.28.99 Python/3.11.4", "1.28.99", true},
		"first good 1": {"aws-cli/1.29.0 Python/3.11.4", "1.29.0", false},
		"later":        {"aws-cli/3.0.0 Python/3.14.0", "3.0.0", false},
		"something":    {"command not found", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			version, old := oldAWS(tt.output)
			if version != tt.version || old != tt.old {
				t.Errorf("oldAWS = %q, %t, want %q, %t", version, old, tt.version, tt.old)
			}
		})
	}
}

// settings are what a command line of serve comes to.
type settings struct {
	globals
	serviceFlags
}

// noService is serve, but runs nothing.
type noService struct {
	serveCmd
	called bool
}

func (c *noService) command(a *app) *cobra.Command {
	cmd := c.serveCmd.command(a)
	cmd.RunE = func(*cobra.Command, []string) error {
		c.called = true
		return c.validate()
	}
	return cmd
}

// parse reads a serve command line beside a configuration file.
func parse(t *testing.T, yaml string, args ...string) (settings, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "diskport.yml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{}
	serve := &noService{}
	root := newRoot(a, group{"", []subcommand{serve}})
	root.SetArgs(append([]string{"serve", "--config=" + file}, args...))
	err := root.ExecuteContext(t.Context())
	if err == nil && !serve.called {
		t.Fatal("serve was not run")
	}
	return settings{a.globals, serve.serviceFlags}, err
}

func TestKeysForElsewhere(t *testing.T) {
	tests := map[string]struct {
		endpoint, id, secret string
		want                 string // of the key, or of the error
	}{
		"nowhere":    {"", "IGNORED", "x", ""},
		"given":      {"https://s3.corp", "KEY", "x", "KEY"},
		"AWS, given": {"aws", "KEY", "x", "KEY"},
		"AWS's own":  {"aws", "", "", "OWN"},
		"none given": {"https://s3.corp", "", "", "needs keys: DISKPORT_SOURCE_ACCESS_KEY_ID"},
		"half a key": {"https://s3.corp", "KEY", "", "go together"},
		"other half": {"aws", "", "x", "go together"},
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "OWN")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(envSource+"ACCESS_KEY_ID", tt.id)
			t.Setenv(envSource+"SECRET_ACCESS_KEY", tt.secret)
			provider, err := keysOf(t.Context(), envSource, tt.endpoint)
			switch {
			case err != nil:
				if !strings.Contains(err.Error(), tt.want) || tt.want == "" {
					t.Errorf("%v, want %q", err, tt.want)
				}
				return
			case provider == nil:
				if tt.want != "" {
					t.Errorf("no keys, want %q", tt.want)
				}
				return
			}
			if got, err := provider.Retrieve(t.Context()); err != nil || got.AccessKeyID != tt.want {
				t.Errorf("key %q, %v, want %q", got.AccessKeyID, err, tt.want)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	data := t.TempDir()
	missing := filepath.Join(data, "missing.vmdk")
	tests := map[string]struct {
		args []string
		want int
	}{
		"ok":           {[]string{"version"}, exitOK},
		"help":         {[]string{"--help"}, exitOK},
		"help below":   {[]string{"import", "--help"}, exitOK},
		"no command":   {nil, exitOK},
		"half of one":  {[]string{"account"}, exitUsage},
		"unknown":      {[]string{"frobnicate"}, exitUsage},
		"no argument":  {[]string{"import"}, exitUsage},
		"missing file": {[]string{"inspect", missing}, exitNotFound},
		"failed":       {[]string{"inspect", os.DevNull}, exitFailed},

		"rewrap the master key": {[]string{"rotate-key", "--data", data, "--master", "--rewrap"}, exitUsage},
		"list and rewrap":       {[]string{"rotate-key", "--data", data, "--list", "--rewrap"}, exitUsage},
		"rotate an empty key":   {[]string{"rotate-key", "--data", data, "--kms-key="}, exitUsage},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			got := run(context.Background(), tt.args, &app{stdout: &out, stderr: &errs})
			if got != tt.want {
				t.Errorf("exit code %d, want %d\n%s%s", got, tt.want, &out, &errs)
			}
		})
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	err := a.printTable([]string{"Task", "Result"}, [][]string{{"import-snap-1", "done"}, {"x", "two\nlines\tand \x1b[31mred"}})
	want := "TASK           RESULT\n" +
		"import-snap-1  done\n" +
		"x              two lines and  [31mred\n"
	if err != nil || out.String() != want {
		t.Errorf("got %v\n%swant\n%s", err, &out, want)
	}
}

func TestLinesSayEachStageAndTenth(t *testing.T) {
	var out bytes.Buffer
	l := &lines{w: &out, name: "x"}
	for done := range int64(101) {
		l.show(state{stage: "converting", done: done, total: 100})
	}
	l.show(state{stage: "completed", done: 100, total: 100})
	if got := strings.Count(out.String(), "\n"); got != 12 {
		t.Errorf("%d lines, want one for each tenth and for the end:\n%s", got, &out)
	}
}

// fullWriter is a full disk.
type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestWhatCannotBePrintedFails(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	disk := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(disk, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"inspect", disk}, {"inspect", "--json", disk}, {"version"}} {
		var errs bytes.Buffer
		if code := run(t.Context(), args, &app{stdout: fullWriter{}, stderr: &errs}); code != exitFailed || !strings.Contains(errs.String(), syscall.ENOSPC.Error()) {
			t.Errorf("%v: exit code %d, %q", args, code, &errs)
		}
	}
}

func TestExistingFileIsNamedWithTheWayOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"convert", path, path}, &app{stdout: &out, stderr: &errs})
	if want := "diskport: open " + path + ": file exists: nothing is overwritten, so name another file, or remove this one\n"; code != exitFailed || errs.String() != want {
		t.Errorf("exit code %d, %q, want %q", code, &errs, want)
	}
}

// TestSpeedIsSinceTheStageBegan, not since it was first heard of.
func TestSpeedIsSinceTheStageBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := (&app{stderr: &out}).newProgress("x")
		time.Sleep(2 * time.Second)
		p.step("reading", 8e6, 16e6)
		time.Sleep(2 * time.Second)
		p.step("reading", 16e6, 16e6)
		time.Sleep(time.Second)
		p.step("writing", 5e6, 10e6)
		p.end()
		if d := cmp.Diff("x: reading 50% 4 MB/s\nx: reading 100% 4 MB/s\nx: writing 50% 5 MB/s\n", out.String()); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
}

func TestImportResult(t *testing.T) {
	got := newImportResult("a.vmdk", client.Task{
		ID: "import-snap-1", Status: "deleted", VirtualBytes: 1<<30 + 1, Failure: &client.Failure{Message: "ClientError: x"},
	})
	if got.Reason != "ClientError: x" || got.VolumeSize != 2 || got.SnapshotID != "" {
		t.Errorf("result is %+v", got)
	}
}

// TestDemoDisk: the files are where the partition table says, with mke2fs and without
// it.
func TestDemoDisk(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "files")
	if err := makeDemoFiles(t.Context(), tree, 4); err != nil {
		t.Fatal(err)
	}
	t.Run("ext4", func(t *testing.T) {
		disk := demoDisk{raw: filepath.Join(dir, "ext4.raw")}
		if err := disk.format(t.Context(), tree); err != nil {
			t.Fatal(err)
		}
		magic := make([]byte, 2)
		if _, err := partitionOf(t, disk.raw).ReadAt(magic, 1024+56); err != nil || !bytes.Equal(magic, []byte{0x53, 0xef}) {
			t.Errorf("the superblock has the magic % x, %v", magic, err)
		}
	})
	t.Run("archive", func(t *testing.T) {
		disk := demoDisk{raw: filepath.Join(dir, "archive.raw")}
		if err := errors.Join(disk.partition(), disk.writeArchive(tree)); err != nil {
			t.Fatal(err)
		}
		archive := tar.NewReader(partitionOf(t, disk.raw))
		for files := 0; ; files++ {
			head, err := archive.Next()
			if errors.Is(err, io.EOF) && files == 4 {
				return
			}
			if err != nil {
				t.Fatalf("after %d files: %v", files, err)
			}
			got, err := io.ReadAll(archive)
			want, werr := os.ReadFile(filepath.Join(tree, head.Name))
			if err != nil || werr != nil || !bytes.Equal(got, want) {
				t.Errorf("%s reads back as %d bytes (%v), want the %d that were written (%v)", head.Name, len(got), err, len(want), werr)
			}
		}
	})
}

// partitionOf returns the first partition of a disk, by its table.
func partitionOf(t *testing.T, path string) *io.SectionReader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	mbr := make([]byte, 512)
	if _, err := f.ReadAt(mbr, 0); err != nil || mbr[510] != 0x55 || mbr[511] != 0xaa || mbr[450] != 0x83 {
		t.Fatalf("the disk begins with % x, %v, not with a partition for Linux", mbr[446:], err)
	}
	start, sectors := binary.LittleEndian.Uint32(mbr[454:]), binary.LittleEndian.Uint32(mbr[458:])
	if end := 512 * (int64(start) + int64(sectors)); start == 0 || end != demoDiskSize {
		t.Errorf("the partition begins at sector %d and ends at byte %d of %d", start, end, demoDiskSize)
	}
	return io.NewSectionReader(f, 512*int64(start), 512*int64(sectors))
}

// Without credentials for an endpoint, the error says so, and nothing of the instance
// role that the SDK looks for last.
func TestEndpointWithoutCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	t.Setenv("DISKPORT_DATA", t.TempDir())
	code, _, stderr := says(t, "tasks")
	if code != exitFailed || !strings.Contains(stderr, "there are no credentials for http://127.0.0.1:1: set AWS_ACCESS_KEY_ID") || strings.Contains(strings.ToLower(stderr), "imds") {
		t.Errorf("exit code %d, said %q", code, stderr)
	}
	failing := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("SSO has expired")
	})
	if err := checkCredentials(t.Context(), "x", failing); err == nil || !strings.Contains(err.Error(), "SSO has expired") {
		t.Errorf("credentials that can't be had: %v", err)
	}
}

// A failure without a task has its reason in JSON too.
func TestReasonInJSON(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for reason, err := range map[string]error{"no room": errors.New("no room"), "interrupted": fmt.Errorf("x: %w", ctx.Err())} {
		var out bytes.Buffer
		if err := (&importCmd{JSON: true}).reportError(ctx, &app{stdout: &out}, "a.vmdk", err); err != nil {
			t.Fatal(err)
		}
		var got importResult
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Image != "a.vmdk" || got.Status != "error" || got.Reason != reason || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s, %v, want one line with %q", &out, err, reason)
		}
	}
}

// TestResultOfATask: a list says of each task what keeps it.
func TestResultOfATask(t *testing.T) {
	for want, task := range map[string]client.Task{
		"snap-1":                               {SnapshotID: "snap-1"},
		"waits for space":                      {Waiting: &client.Waiting{For: "space"}},
		"no such role":                         {Failure: &client.Failure{Message: "no such role"}, Waiting: &client.Waiting{For: "space"}},
		"is tried again after 3 failures: EIO": {Retry: &client.Retry{Failures: 3, Cause: "EIO"}},
	} {
		if got := result(task); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestRetrying: a task says what is tried again, since when, and when next.
func TestRetrying(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 4, 0, 0, time.Local)
	next := now.Add(20 * time.Second)
	r := client.Retry{Cause: "the S3 of the source answers with status 503", Failures: 4, Since: now.Add(-49 * time.Second), Next: &next}
	if got, want := retrying(r, now), "since 12:03:11 (4 failures): the S3 of the source answers with status 503; next try in 20s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.Failures, r.Next = 1, nil
	if got, want := retrying(r, now), "since 12:03:11 (1 failure): the S3 of the source answers with status 503; is being tried now"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
