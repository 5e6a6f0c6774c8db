package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/diskimage/ova"
	"github.com/diskport/diskport/internal/client"
)

// input is one disk to import, of what was named on the command line.
type input struct {
	label string     // for the user: what was named, and what in it
	path  string     // of a local file, absolute; or "-", or a Url
	local bool       // path is of a file
	parts imageFlags // how the disk is put together by this program, if assembled
	// assembled says that the disk is in several files, or one of several in a file.
	assembled bool
}

func (in input) isURL() bool { return !in.local && in.path != "-" }

// name is what the service calls the file.
func (in input) name() string {
	switch {
	case in.path == "-":
		return "standard input"
	case in.assembled && in.parts.Disk != "":
		return filepath.Base(in.path) + " " + filepath.Base(in.parts.Disk)
	case in.isURL():
		return filepath.Base(withoutQuery(in.path))
	}
	return filepath.Base(in.path)
}

// withoutQuery returns a Url as it may be shown and logged: what is behind "?" may be secret. An
// object's key may have a "?" in it.
func withoutQuery(name string) string {
	if strings.HasPrefix(name, "s3://") {
		return name
	}
	name, _, _ = strings.Cut(name, "?")
	return name
}

// inputs returns the disks in what was named on the command line, in its order: files,
// patterns that no shell has replaced, folders and OVFs with the disks of an exported
// machine, OVAs with several, standard input, Urls.
func (f imageFlags) inputs(named []string) ([]input, error) {
	var all []input
	for _, name := range named {
		some, err := f.inputsOf(name)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	for i, in := range all {
		if in.path == "-" && slices.ContainsFunc(all[:i], func(other input) bool { return other.path == "-" }) {
			return nil, &usageError{errors.New("standard input is named twice")}
		}
	}
	if f.assembled() && (len(all) != 1 || !all[0].local) {
		return nil, &usageError{errors.New("--with and --disk are about one image, in a local file")}
	}
	return all, nil
}

// assembled reports whether flags say how a disk is put together.
func (f imageFlags) assembled() bool { return len(f.With) > 0 || f.Disk != "" }

func (f imageFlags) inputsOf(name string) ([]input, error) {
	if name == "-" || strings.Contains(name, "://") {
		return []input{{label: withoutQuery(name), path: name}}, nil
	}
	path, err := absolutePath(name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.matching(name, path, err)
	case err != nil:
		return nil, err
	case info.IsDir():
		return f.inFolder(name, path)
	case !info.Mode().IsRegular() && (info.Mode()&fs.ModeDevice == 0 || info.Mode()&fs.ModeCharDevice != 0):
		return nil, &usageError{fmt.Errorf("%s is neither a file nor a block device; what comes through a pipe is named -", name)}
	case strings.EqualFold(filepath.Ext(path), ".ovf"):
		return f.ofOVF(name, path)
	case f.assembled():
		return []input{{label: name, path: path, local: true, parts: f, assembled: true}}, nil
	}
	return f.ofFile(name, path)
}

// matching returns the files that a pattern stands for.
func (f imageFlags) matching(name, path string, missing error) ([]input, error) {
	found, err := filepath.Glob(path)
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("%w%s", missing, similarFile(path))
	}
	var all []input
	for _, p := range found {
		some, err := f.inputsOf(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// similarFile says which file may have been meant by a path at which there is none.
func similarFile(path string) string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return didYouMean(filepath.Base(path), names)
}

// ofFile looks into a file: an OVA has several disks, a descriptor several files.
func (f imageFlags) ofFile(label, path string) ([]input, error) {
	whole := []input{{label: label, path: path, local: true}}
	file, err := openLocal(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if !file.info.Mode().IsRegular() || f.Format != "" {
		return whole, nil
	}
	contents, isOVA, err := detect.Contents(file, file.size)
	if err == nil && isOVA && len(contents.Disks) > 1 {
		var all []input
		for _, disk := range contents.Disks {
			parts := f
			parts.Disk = disk
			all = append(all, input{label: label + " " + disk, path: path, local: true, parts: parts, assembled: true})
		}
		return all, nil
	}
	// What is wrong with an image the service says, in the words that it has for all.
	if found, err := detect.Sniff(file, file.size); err == nil && found.Title == descriptorTitle {
		whole[0].parts, whole[0].assembled = f, true
	}
	return whole, nil
}

// descriptorTitle is what package detect calls a VMDK that only names its files.
const descriptorTitle = "VMDK descriptor"

// inFolder returns the disks of an exported machine in a folder: those of its OVF, or else
// the images that are no parts of others.
func (f imageFlags) inFolder(label, dir string) ([]input, error) {
	if f.assembled() {
		return nil, &usageError{fmt.Errorf("%s is a folder: --with and --disk are about one image", label)}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ovfs, images []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch ext := strings.ToLower(filepath.Ext(e.Name())); {
		case !e.Type().IsRegular():
		case ext == ".ovf":
			ovfs = append(ovfs, path)
		case slices.Contains(imageNames, ext):
			images = append(images, path)
		}
	}
	switch {
	case len(ovfs) == 1:
		return f.ofOVF(label, ovfs[0])
	case len(ovfs) > 1:
		return nil, fmt.Errorf("%s holds %d OVFs: name the one to import", label, len(ovfs))
	}
	all, err := f.ofImages(label, images)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s holds no OVF, and no file that is called as disk images are (%s)", label, list(imageNames))
	}
	return all, err
}

// imageNames are the extensions of files that are taken for images in a folder.
var imageNames = []string{".vmdk", ".vhd", ".vhdx", ".qcow2", ".vdi", ".raw", ".img", ".ova", ".qed", ".hdd", ".dmg"}

// ofImages returns the disks in files of a folder, without files that are parts of others.
func (f imageFlags) ofImages(label string, paths []string) ([]input, error) {
	var all []input
	part := map[string]bool{}
	for _, path := range paths {
		some, err := f.ofFile(filepath.Join(label, filepath.Base(path)), path)
		if err != nil {
			return nil, err
		}
		for _, in := range some {
			for _, p := range in.names() {
				part[p] = true
			}
		}
		all = append(all, some...)
	}
	return slices.DeleteFunc(all, func(in input) bool { return part[in.path] }), nil
}

// names returns the files beside a descriptor that it consists of.
func (in input) names() []string {
	if !in.assembled || in.parts.Disk != "" {
		return nil
	}
	img, err := in.parts.open(context.Background(), in.path)
	if err != nil {
		return nil // its import will say why
	}
	defer img.close()
	var names []string
	for _, f := range img.files[1:] {
		names = append(names, f.Name())
	}
	return names
}

// maxOVFFile bounds the OVF of a folder, in bytes.
const maxOVFFile = 16 << 20

// ofOVF returns the disks of an exported machine by its OVF.
func (f imageFlags) ofOVF(label, path string) ([]input, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxOVFFile))
	if err != nil {
		return nil, err
	}
	names, err := ova.DiskFiles(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: the machine has no disks with contents", path)
	}
	found, err := beside(path, names)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var all []input
	for i, p := range found {
		some, err := f.ofFile(label+" "+names[i], p)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// openInput opens what an input reads as one file, for reading alone: the file itself, or one
// without a name that standard input, or what was downloaded, is put into.
func (a *app) openInput(ctx context.Context, in input, f imageFlags, p *progress) (*os.File, error) {
	switch {
	case in.local:
		return os.Open(in.path)
	case in.path == "-":
		if file, ok := a.stdin.(*os.File); ok && rewindable(file) {
			return reopened(file)
		}
	}
	scratch, err := f.unnamed()
	if err != nil {
		return nil, err
	}
	defer scratch.Close()
	if in.path == "-" {
		err = spool(ctx, scratch, a.stdin, p)
	} else {
		d := client.Download{URL: in.path, Progress: func(done, total int64) { p.step("downloading", done, total) }}
		_, err = d.To(ctx, scratch)
	}
	if errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("%w\nThere is more room elsewhere, perhaps: --scratch DIR", err)
	}
	if err != nil {
		return nil, err
	}
	return reopened(scratch)
}

// rewindable reports whether standard input is a file that can be read as it is, from its
// beginning.
func rewindable(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	at, err := f.Seek(0, io.SeekCurrent)
	return err == nil && at == 0
}

// reopened opens an open file once more, for reading alone.
func reopened(f *os.File) (*os.File, error) {
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// unnamed makes a file without a name, which is gone when it is closed.
func (f imageFlags) unnamed() (*os.File, error) {
	dir := f.Scratch
	if dir == "" {
		dir = os.TempDir()
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, "unnamed")), nil
	}
	file, err := os.CreateTemp(dir, "diskport-") // not every file system has such files
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}

// spool copies a stream into a file. Zeros become holes.
func spool(ctx context.Context, to *os.File, from io.Reader, p *progress) error {
	defer context.AfterFunc(ctx, func() {
		if c, ok := from.(io.Closer); ok {
			_ = c.Close() // ends a read that waits
		}
	})()
	buf, zeros := make([]byte, spoolBuffer), make([]byte, spoolBuffer)
	for at := int64(0); ; {
		n, err := io.ReadFull(from, buf)
		if n > 0 && string(buf[:n]) != string(zeros[:n]) {
			if _, err := to.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		p.step("reading", at, 0)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return to.Truncate(at)
		case err != nil:
			return fmt.Errorf("reading standard input: %w", err)
		}
	}
}

const spoolBuffer = 256 << 10
