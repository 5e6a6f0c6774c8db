package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	diskfs "github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/diskport/diskport/diskimage/raw"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// The demo's disk: large enough to be a disk, with little enough on it to take
// a few seconds anywhere.
const (
	demoDiskSize  = 1 << 30
	demoPartStart = 1 << 20
	demoPartSize  = demoDiskSize - 2<<20 // the second table lies behind it
	demoFiles     = 48
	demoFileSize  = 2 << 20
)

// demoDisk is a partitioned, formatted disk with files on it.
type demoDisk struct {
	raw   string // path
	vmdk  string // path
	label string // what it is, for people
}

// makeDemoDisk makes the disk in dir, raw and as a stream-optimised VMDK.
func makeDemoDisk(ctx context.Context, dir string) (demoDisk, error) {
	d := demoDisk{raw: filepath.Join(dir, "disk.raw"), vmdk: filepath.Join(dir, "disk.vmdk")}
	tree := filepath.Join(dir, "files")
	if err := makeDemoFiles(ctx, tree, demoFiles); err != nil {
		return d, fmt.Errorf("making files for the disk: %w", err)
	}
	if err := d.format(ctx, tree); err != nil {
		return d, fmt.Errorf("making a disk: %w", err)
	}
	if err := os.RemoveAll(tree); err != nil {
		return d, err
	}
	return d, d.writeVMDK(ctx)
}

// makeDemoFiles fills a folder with n files of text, which compresses, and noise, which
// does not. It is the same on every run.
func makeDemoFiles(ctx context.Context, tree string, n int) error {
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	noise := rand.NewChaCha8([32]byte{})
	for i := range n {
		name, content := fmt.Sprintf("NOISE%02d.BIN", i), make([]byte, demoFileSize)
		_, _ = noise.Read(content) // never fails
		if i%2 == 0 {
			name = fmt.Sprintf("TEXT%02d.TXT", i)
			line := fmt.Sprintf("This is line of file %d: %x\n", i, content[:24])
			content = bytes.Repeat([]byte(line), demoFileSize/len(line))
		}
		if err := os.WriteFile(filepath.Join(tree, name), content, 0o644); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// format makes the raw disk: a GPT with one partition, ext4 where there is
// mke2fs, else FAT.
func (d *demoDisk) format(ctx context.Context, tree string) error {
	img, err := partitioned(d.raw)
	if err != nil {
		return err
	}
	defer img.Close() //nolint:errcheck // what counts was written, or has failed, before
	if mke2fs := findMke2fs(); mke2fs != "" {
		d.label = "GPT, ext4"
		return d.makeExt4(ctx, mke2fs, tree)
	}
	d.label = "GPT, FAT32 as there is no mke2fs"
	return makeFAT(ctx, img, tree)
}

// partitioned makes a disk with one empty partition.
func partitioned(path string) (*disk.Disk, error) {
	img, err := diskfs.Create(path, demoDiskSize, diskfs.SectorSize512)
	if err != nil {
		return nil, err
	}
	table := &gpt.Table{
		ProtectiveMBR: true,
		Partitions: []*gpt.Partition{{
			Index: 1,
			Start: demoPartStart / 512,
			Size:  demoPartSize,
			Type:  gpt.LinuxFilesystem,
			Name:  "demo",
		}},
	}
	if err := img.Partition(table); err != nil {
		return nil, errors.Join(err, img.Close())
	}
	return img, nil
}

// findMke2fs looks where Debian has it, which is not in every user's PATH.
func findMke2fs() string {
	for _, name := range []string{"mke2fs", "/usr/sbin/mke2fs", "/sbin/mke2fs"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func (d *demoDisk) makeExt4(ctx context.Context, mke2fs, tree string) error {
	cmd := exec.CommandContext(ctx, mke2fs, "-q", "-F", "-t", "ext4", "-d", tree,
		"-E", fmt.Sprintf("offset=%d,root_owner=0:0,lazy_itable_init=1,nodiscard", demoPartStart),
		d.raw, fmt.Sprintf("%dk", demoPartSize>>10))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", mke2fs, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// makeFAT formats the partition and copies the files of tree to it.
func makeFAT(ctx context.Context, img *disk.Disk, tree string) error {
	fs, err := img.CreateFilesystem(disk.FilesystemSpec{Partition: 1, FSType: filesystem.TypeFat32, VolumeLabel: "DEMO"})
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(tree)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyInto(fs, filepath.Join(tree, e.Name()), "/"+e.Name()); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fs.Close()
}

// copyInto copies a file in one write: each write costs a new table.
func copyInto(fs filesystem.FileSystem, from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	out, err := fs.OpenFile(to, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	return errors.Join(err, out.Close())
}

func (d *demoDisk) writeVMDK(ctx context.Context) error {
	src, size, err := openRaw(d.raw)
	if err != nil {
		return err
	}
	defer src.Close()
	img, err := raw.Open(src, size, raw.Options{})
	if err != nil {
		return err
	}
	out, err := os.Create(d.vmdk)
	if err != nil {
		return err
	}
	return errors.Join(vmdk.WriteStream(ctx, out, img, vmdk.StreamOptions{}), out.Close())
}

func openRaw(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close() // nothing was written
		return nil, 0, err
	}
	return f, info.Size(), nil
}
