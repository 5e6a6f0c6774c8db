package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/diskport/diskport/diskimage/raw"
	"github.com/diskport/diskport/diskimage/vmdk"
)

// The demo's disk is large enough to look like one, and has little enough on it to
// take a few seconds anywhere.
const (
	demoDiskSize  = 1 << 30
	demoPartStart = 1 << 20
	demoPartSize  = demoDiskSize - demoPartStart
	demoFiles     = 48
	demoFileSize  = 2 << 20
)

// demoDisk is a partitioned disk with files on it.
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
// does not. The contents are the same on every run.
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

// format makes the raw disk: one partition, with ext4 where there is mke2fs, else
// with an archive of the files. An import doesn't care what a partition holds.
func (d *demoDisk) format(ctx context.Context, tree string) error {
	if err := d.partition(); err != nil {
		return err
	}
	if mke2fs := findMke2fs(); mke2fs != "" {
		d.label = "MBR, ext4"
		return d.makeExt4(ctx, mke2fs, tree)
	}
	d.label = "MBR, a tar archive as there is no mke2fs"
	return d.writeArchive(tree)
}

// partition makes a disk with one empty partition, of Linux. The table of a master
// boot record has 16 bytes for each, from 446 on:
//
//	0   1  80: it is to be booted
//	1   3  first sector as cylinder, head and sector; FE FF FF: too far for these
//	4   1  type; 83: Linux
//	5   3  last sector as above
//	8   4  first sector
//	12  4  number of sectors
//
// The signature 55 AA ends the sector.
func (d *demoDisk) partition() error {
	const entry = 446
	mbr := make([]byte, 512)
	copy(mbr[entry:], []byte{0, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff})
	binary.LittleEndian.PutUint32(mbr[entry+8:], demoPartStart/512)
	binary.LittleEndian.PutUint32(mbr[entry+12:], demoPartSize/512)
	copy(mbr[510:], []byte{0x55, 0xaa})
	if err := os.WriteFile(d.raw, mbr, 0o644); err != nil {
		return err
	}
	return os.Truncate(d.raw, demoDiskSize)
}

// findMke2fs also looks where Debian has it, which is not in every user's PATH.
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

// writeArchive writes the files of tree to the partition.
func (d *demoDisk) writeArchive(tree string) error {
	disk, err := os.OpenFile(d.raw, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(io.NewOffsetWriter(disk, demoPartStart))
	return errors.Join(archive.AddFS(os.DirFS(tree)), archive.Close(), disk.Close())
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
