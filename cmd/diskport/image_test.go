package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/work"
)

// local is a folder with images, to run commands on.
type local struct {
	t   *testing.T
	dir string
}

func newLocal(t *testing.T, files map[string][]byte) local {
	l := local{t, t.TempDir()}
	for name, p := range files {
		path := l.path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l local) path(name string) string { return filepath.Join(l.dir, name) }

// run runs a command; in arguments, @ stands for the folder.
func (l local) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	l.t.Helper()
	for i, a := range args {
		if before, name, ok := strings.Cut(a, "@"); ok {
			args[i] = before + l.path(name)
		}
	}
	var out, errs bytes.Buffer
	code = run(ctx, args, &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

// split is a disk in two files, and its contents.
func split() (files map[string][]byte, want []byte) {
	want = imagetest.Mixed(3<<20+512, 4)
	clear(want[1<<20 : 2<<20])
	return map[string][]byte{
		"disk.vmdk":      []byte(imagetest.VMDKDescriptor("twoGbMaxExtentFlat", `RW 2048 FLAT "disk-f001.vmdk" 0`, "RW 2048 ZERO", `RW 2049 FLAT "disk-f002.vmdk" 0`)),
		"disk-f001.vmdk": want[:1<<20], "disk-f002.vmdk": want[2<<20:],
	}, want
}

func TestImageOfSeveralFiles(t *testing.T) {
	files, want := split()
	files["other/disk-f001.vmdk"] = []byte("x")
	l := newLocal(t, files)
	with := []string{"--with=@disk-f001.vmdk", "--with=@disk-f002.vmdk"}
	code, _, stderr := l.run(t.Context(), append([]string{"convert", "@disk.vmdk", "@out.raw"}, with...)...)
	if got, err := os.ReadFile(l.path("out.raw")); code != exitOK || err != nil || !bytes.Equal(got, want) {
		t.Errorf("convert: %d, %q, %v, contents equal: %v", code, stderr, err, bytes.Equal(got, want))
	}
	var mapped []struct {
		Start, Length int64
		Data          bool
	}
	code, stdout, stderr := l.run(t.Context(), append([]string{"map", "--json", "@disk.vmdk"}, slices.Clone(with)...)...)
	if err := json.Unmarshal([]byte(stdout), &mapped); err != nil || code != exitOK || len(mapped) != 3 || mapped[1].Data || mapped[1].Start != 1<<20 {
		t.Errorf("map: %d, %q, %v: %+v", code, stderr, err, mapped)
	}
	if code, stdout, stderr := l.run(t.Context(), "inspect", "@disk.vmdk"); code != exitOK || !strings.Contains(stdout, "(3146240 bytes)") {
		t.Errorf("with the files beside it: %d, %q, %q", code, stdout, stderr)
	}
	for name, tt := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"one given":      {[]string{"--with=@disk-f001.vmdk"}, exitFailed, []string{`"disk-f002.vmdk" not given`}},
		"one too many":   {append(slices.Clone(with), "--with=@out.raw"), exitFailed, []string{`"out.raw" was given`}},
		"one twice":      {append(slices.Clone(with), "--with=@disk-f001.vmdk"), exitUsage, []string{"two files called disk-f001.vmdk"}},
		"a name twice":   {append(slices.Clone(with), "--with=@other/disk-f001.vmdk"), exitUsage, []string{"two files called disk-f001.vmdk"}},
		"itself":         {[]string{"--with=@disk.vmdk"}, exitUsage, []string{"same file"}},
		"one not there":  {[]string{"--with=@none"}, exitNotFound, []string{"none"}},
		"another length": {[]string{"--with=@other/disk-f001.vmdk", "--with=@disk-f002.vmdk"}, exitFailed, []string{`"disk-f001.vmdk", which has 1`}},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := l.run(t.Context(), append([]string{"inspect", "@disk.vmdk"}, tt.args...)...)
			if code != tt.code || stdout != "" {
				t.Errorf("exit code %d, want %d; printed %q", code, tt.code, stdout)
			}
			for _, want := range tt.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("said %q, want %q", stderr, want)
				}
			}
		})
	}
}

// TestFilesBesideAnImage: those that are not simply there are not looked for elsewhere.
func TestFilesBesideAnImage(t *testing.T) {
	for name, spoil := range map[string]struct {
		undo func(l local) error
		want string
	}{
		"missing": {func(l local) error { return os.Remove(l.path("disk-f002.vmdk")) }, "disk-f002.vmdk: no such file"},
		"a link": {func(l local) error {
			return errors.Join(os.Remove(l.path("disk-f002.vmdk")), os.Symlink(l.path("disk-f001.vmdk"), l.path("disk-f002.vmdk")))
		}, "is no regular file"},
		"a folder": {func(l local) error {
			return errors.Join(os.Remove(l.path("disk-f002.vmdk")), os.Mkdir(l.path("disk-f002.vmdk"), 0o700))
		}, "is no regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			files, _ := split()
			l := newLocal(t, files)
			if err := spoil.undo(l); err != nil {
				t.Fatal(err)
			}
			code, _, stderr := l.run(t.Context(), "inspect", "@disk.vmdk")
			if code == exitOK || !strings.Contains(stderr, spoil.want) || !strings.Contains(stderr, "--with FILE") {
				t.Errorf("%d, %q", code, stderr)
			}
		})
	}
}

func TestImageInOVA(t *testing.T) {
	want := imagetest.Mixed(1<<20, 8)
	object := imagetest.Tar(imagetest.Member{Name: "x.ovf", Data: imagetest.OVF("a.vmdk", "b.img")},
		imagetest.Member{Name: "a.vmdk", Data: imagetest.VMDK{Size: 1 << 20}.Build().Bytes}, imagetest.Member{Name: "b.img", Data: want})
	l := newLocal(t, map[string][]byte{"x.ova": object})
	code, stdout, stderr := l.run(t.Context(), "inspect", "@x.ova")
	if code != exitOK || !strings.Contains(stdout, "a.vmdk") || !strings.Contains(stdout, "b.img") || !strings.Contains(stdout, "--disk NAME") {
		t.Errorf("inspect: %d, %q, %q", code, stdout, stderr)
	}
	var listed struct{ Disks []string }
	code, stdout, _ = l.run(t.Context(), "inspect", "--json", "@x.ova")
	if err := json.Unmarshal([]byte(stdout), &listed); err != nil || code != exitOK || !slices.Equal(listed.Disks, []string{"a.vmdk", "b.img"}) {
		t.Errorf("inspect --json: %d, %v, %+v", code, err, listed)
	}
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"not chosen":    {nil, "--disk NAME"},
		"not there":     {[]string{"--disk=c"}, `it holds no disk "c"; choose one: "a.vmdk", "b.img"`},
		"a file of it":  {[]string{"--disk=b.img", "--with=@x.raw"}, `"x.raw" was given`},
		"declared VHDX": {[]string{"--disk=b.img", "--format=vhdx"}, "declared VHDX"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(l.path("x.raw"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, _, stderr := l.run(t.Context(), append([]string{"convert", "@x.ova", "@out.raw"}, tt.args...)...)
			if code != exitFailed || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit code %d, said %q, want %q", code, stderr, tt.want)
			}
		})
	}
	code, _, stderr = l.run(t.Context(), "convert", "--disk=b.img", "@x.ova", "@out.raw")
	if got, err := os.ReadFile(l.path("out.raw")); code != exitOK || err != nil || !bytes.Equal(got, want) {
		t.Errorf("convert: %d, %q, %v", code, stderr, err)
	}
}

// A compressed image is unpacked where --scratch says, and nothing is left there.
func TestPackedImage(t *testing.T) {
	want := imagetest.Mixed(4<<20, 8)
	packed := imagetest.Pack(t, want, "gzip", "-1")
	l := newLocal(t, map[string][]byte{
		"x.gz": packed, "x.zst": imagetest.Pack(t, want, "zstd", "-1"), "cut.gz": packed[:len(packed)-100],
	})
	for image, wantCode := range map[string]int{"x.gz": exitOK, "x.zst": exitOK, "cut.gz": exitFailed} {
		code, _, stderr := l.run(t.Context(), "convert", "--scratch=@scratch", "@"+image, "@"+image+".raw")
		got, err := os.ReadFile(l.path(image + ".raw"))
		if code != wantCode || code == exitOK && !bytes.Equal(got, want) || code != exitOK && err == nil {
			t.Errorf("%s: exit code %d, said %q, %v", image, code, stderr, err)
		}
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, stderr := l.run(interrupted, "inspect", "--scratch=@scratch", "@x.gz"); code != exitInterrupted || stderr != "diskport: interrupted\n" {
		t.Errorf("interrupted: exit code %d, said %q", code, stderr)
	}
	if left, err := os.ReadDir(l.path("scratch")); err != nil || len(left) > 0 {
		t.Errorf("%d files left in the scratch folder, %v", len(left), err)
	}
	code, stdout, _ := l.run(t.Context(), "inspect", "@x.gz")
	if code != exitOK || !strings.Contains(stdout, "gzip") {
		t.Errorf("inspect: %d, %q", code, stdout)
	}
}

// A sparse file's holes are holes.
func TestSparseFile(t *testing.T) {
	l := newLocal(t, map[string][]byte{"x.raw": []byte("x")})
	if err := os.Truncate(l.path("x.raw"), 64<<20); err != nil {
		t.Fatal(err)
	}
	var got inspected
	code, stdout, _ := l.run(t.Context(), "inspect", "--json", "@x.raw")
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitOK || got.DataBytes > 1<<20 || got.VirtualBytes != 64<<20 {
		t.Errorf("%d, %v: %+v", code, err, got)
	}
}

// faulty is a disk whose decoder has a fault.
type faulty struct{ diskimage.Disk }

func (faulty) Size() int64 { return 1 << 20 }

func (faulty) Extents(int64, int64) iter.Seq2[diskimage.Extent, error] { panic("index out of range") }

// TestADecodersPanic ends the command, which cleans up and says what to do.
func TestADecodersPanic(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.raw")
	err := guarded(func() error { return writeRaw(t.Context(), faulty{}, out, nil) })
	if err == nil || !strings.Contains(err.Error(), "index out of range\nThis is a fault of diskport") || !strings.Contains(err.Error(), "faulty.Extents") {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("a half written file stays: %v", err)
	}
	err = guarded(func() error {
		_, err := (&image{Disk: faulty{}}).inspect("x")
		return err
	})
	if _, ok := errors.AsType[*work.PanicError](err); !ok {
		t.Errorf("inspecting it: %v", err)
	}
}

// TestConvertWritesWhatItsNameSays: never one format under the name of another.
func TestConvertWritesWhatItsNameSays(t *testing.T) {
	want := imagetest.Mixed(1<<20+512, 4)
	clear(want[1<<18 : 1<<19])
	l := newLocal(t, map[string][]byte{"a.img": want})
	convert := func(args ...string) (code int, stdout, stderr string) {
		return l.run(t.Context(), append([]string{"convert", "--format=raw", "@a.img"}, args...)...)
	}
	for _, out := range []string{"o.qcow2", "o.vhd", "O.VHDX", "o.ova"} {
		if code, _, stderr := convert("@" + out); code != exitUsage || !strings.Contains(stderr, "convert writes raw and VMDK") {
			t.Errorf("%s: %d, %q", out, code, stderr)
		}
		if _, err := os.Stat(l.path(out)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", out, err)
		}
	}
	if code, stdout, stderr := convert("-"); code != exitOK || stdout != string(want) {
		t.Errorf("to standard output: %d, %d bytes, %q", code, len(stdout), stderr)
	}
	if code, _, _ := convert("-", "--json"); code != exitUsage {
		t.Errorf("image and JSON to standard output: %d", code)
	}
	if code, _, stderr := convert("@o.vmdk"); code != exitOK {
		t.Errorf("to a VMDK: %d, %q", code, stderr)
	}
	if code, _, stderr := convert("--to=raw", "@raw.qcow2"); code != exitOK {
		t.Errorf("raw by another name: %d, %q", code, stderr)
	}
	if code, stdout, _ := l.run(t.Context(), "inspect", "@o.vmdk"); code != exitOK || !strings.Contains(stdout, "streamOptimized") {
		t.Errorf("the VMDK: %d, %q", code, stdout)
	}
	if code, _, stderr := l.run(t.Context(), "convert", "@o.vmdk", "@back"); code != exitOK {
		t.Errorf("back: %d, %q", code, stderr)
	}
	for _, name := range []string{"raw.qcow2", "back"} {
		if got, err := os.ReadFile(l.path(name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has other contents: %v", name, err)
		}
	}
}

// TestImageInS3: an object is looked at where it is.
func TestImageInS3(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	l := newLocal(t, nil)
	a := &app{globals: globals{Data: l.path("data")}, stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	content := imagetest.VMDK{Size: 5 << 20, Grains: map[int64][]byte{3: imagetest.Mixed(64<<10, 2), 70: imagetest.Mixed(64<<10, 3)}}.Build().Bytes
	if err := a.with(t.Context(), func(s *session) error {
		return errors.Join(s.EnsureBucket(t.Context(), "images"), s.Upload(t.Context(), "images", "vm/disk.vmdk", bytes.NewReader(content), int64(len(content)), func(int64) {}))
	}); err != nil {
		t.Fatal(err)
	}
	in := func(args ...string) (int, string, string) {
		return l.run(t.Context(), append(args, "--data", l.path("data"))...)
	}
	if code, stdout, stderr := in("inspect", "s3://images/vm/disk.vmdk"); code != exitOK || !strings.Contains(stdout, "(5242880 bytes)") {
		t.Errorf("inspect: %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr := in("convert", "s3://images/vm/disk.vmdk", "-"); code != exitOK || len(stdout) != 5<<20 {
		t.Errorf("convert: %d, %d bytes, %q", code, len(stdout), stderr)
	}
	if code, _, stderr := in("map", "s3://images/none"); code != exitNotFound {
		t.Errorf("what is not there: %d, %q", code, stderr)
	}
	if code, _, stderr := in("map", "s3://images"); code != exitUsage || !strings.Contains(stderr, "s3://BUCKET/KEY") {
		t.Errorf("a bucket: %d, %q", code, stderr)
	}
}
