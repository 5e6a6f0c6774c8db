package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// parse reads a serve command line beside a configuration file.
func parse(t *testing.T, yaml string, args ...string) (cli, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "diskport.yml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append([]string{"serve", "--config=" + file}, args...))
	return c, err
}

func TestSettingsComeFromLineThenEnvironmentThenFile(t *testing.T) {
	const file = "listen: 127.0.0.1:1\nregion: eu-west-1\nhold-poll: 1s\nstrict-aws: true\nroles: [worker]\nquota-imports: 7\n"
	t.Setenv("DISKPORT_LISTEN", "127.0.0.1:2")
	c, err := parse(t, file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Serve.Listen != "127.0.0.1:2" || c.Region != "eu-west-1" || c.Serve.HoldPoll != time.Second ||
		!c.Serve.StrictAWS || strings.Join(c.Serve.Roles, ",") != "worker" || c.Serve.QuotaImports != 7 {
		t.Errorf("settings are %+v in %s", c.Serve.serviceFlags, c.Region)
	}
	c, err = parse(t, file, "--listen=127.0.0.1:3")
	if err != nil || c.Serve.Listen != "127.0.0.1:3" {
		t.Errorf("listen is %q (%v), want what the line says", c.Serve.Listen, err)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	tests := map[string]struct {
		file string
		args []string
		want string
	}{
		"unknown key":         {"lisen: x\n", nil, `unknown key "lisen"`},
		"no YAML":             {"a: [\n", nil, "reading the configuration"},
		"half of TLS":         {"", []string{"--tls-cert=x"}, "go together"},
		"reserve":             {"reserve: much\n", nil, "is no size"},
		"role":                {"", []string{"--roles=boss"}, "must be one of"},
		"failed status":       {"failed-status: gone\n", nil, "must be one of"},
		"unknown flag":        {"", []string{"--nope"}, "unknown flag"},
		"source endpoint":     {"source-endpoint: minio:9000\n", nil, "neither aws nor http"},
		"KMS endpoint":        {"", []string{"--kms-endpoint=ftp://x"}, "neither aws nor http"},
		"STS endpoint":        {"source-endpoint: aws\nsource-sts: nowhere\n", nil, "--source-sts"},
		"STS of nothing":      {"source-sts: none\n", nil, "need --source-endpoint"},
		"key of a subcommand": {"json: true\n", nil, `unknown key "json"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(t, tt.file, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parsing: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestHalfARootKeyIsRefused(t *testing.T) {
	t.Setenv(envRootKeyID, "AKIAX")
	if _, err := parse(t, ""); err == nil || !strings.Contains(err.Error(), "go together") {
		t.Errorf("parsing: %v, want a refusal", err)
	}
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
	missing := filepath.Join(t.TempDir(), "missing.vmdk")
	tests := map[string]struct {
		args []string
		want int
	}{
		"ok":           {[]string{"version"}, exitOK},
		"help":         {[]string{"--help"}, exitOK},
		"help below":   {[]string{"import", "--help"}, exitOK},
		"no command":   {nil, exitUsage},
		"unknown":      {[]string{"frobnicate"}, exitUsage},
		"no argument":  {[]string{"import"}, exitUsage},
		"missing file": {[]string{"inspect", missing}, exitNotFound},
		"failed":       {[]string{"inspect", os.DevNull}, exitFailed},
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

func TestImportResult(t *testing.T) {
	got := newImportResult("a.vmdk", client.Task{
		ID: "import-snap-1", Status: "deleted", VirtualBytes: 1<<30 + 1, Failure: &client.Failure{Message: "ClientError: x"},
	})
	if got.Reason != "ClientError: x" || got.VolumeSize != 2 || got.SnapshotID != "" {
		t.Errorf("result is %+v", got)
	}
}

// Without mke2fs the demo's disk has a FAT file system: it must be one, too.
func TestDemoDiskWithoutMke2fs(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "files")
	if err := makeDemoFiles(t.Context(), tree, 4); err != nil {
		t.Fatal(err)
	}
	img, err := partitioned(filepath.Join(dir, "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if err := makeFAT(t.Context(), img, tree); err != nil {
		t.Fatal(err)
	}
	fs, err := img.GetFilesystem(1)
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.ReadDir(".")
	if err != nil || len(files) != 4 {
		t.Errorf("the disk holds %d files (%v), want 4", len(files), err)
	}
	got, err := fs.ReadFile("TEXT00.TXT")
	want, rerr := os.ReadFile(filepath.Join(tree, "TEXT00.TXT"))
	if err != nil || rerr != nil || !bytes.Equal(got, want) {
		t.Errorf("a file reads back as %d bytes (%v, %v), want %d as written", len(got), err, rerr, len(want))
	}
}
