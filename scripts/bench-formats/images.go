package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/diskport/diskport/scripts/benchdisk"
)

const (
	diskSize = 768 << 20
	diskData = 512 << 20
)

// kind is a format and the options that qemu-img makes it with, or the tool that
// packs a raw disk.
type kind struct {
	name    string
	format  string // qemu's name of it; empty for a packed raw disk
	options string
	packer  string // with arguments
}

// kinds are the images that are measured. A name begins with the format's name
// here.
var kinds = []kind{
	{"raw", "raw", "", ""},
	{"vmdk sparse", "vmdk", "-o subformat=monolithicSparse", ""},
	{"vmdk stream", "vmdk", "-o subformat=streamOptimized", ""},
	{"vhd dynamic", "vpc", "-o subformat=dynamic,force_size=on", ""},
	{"vhd fixed", "vpc", "-o subformat=fixed,force_size=on", ""},
	{"vhdx dynamic", "vhdx", "-o subformat=dynamic", ""},
	{"vhdx fixed", "vhdx", "-o subformat=fixed", ""},
	{"qcow2", "qcow2", "", ""},
	{"qcow2 4k", "qcow2", "-o cluster_size=4k", ""},
	{"qcow2 extended", "qcow2", "-o extended_l2=on", ""},
	{"qcow2 zlib", "qcow2", "-c", ""},
	{"qcow2 zlib 2M", "qcow2", "-c -o cluster_size=2M", ""},
	{"qcow2 zstd", "qcow2", "-c -o compression_type=zstd", ""},
	{"vdi", "vdi", "", ""},
	{"qed", "qed", "", ""},
	{"parallels", "parallels", "", ""},
	{"gzip", "", "", "gzip -1"},
	{"zstd", "", "", "zstd -3 -q"},
	{"zstd frames", "", "", "zstd -3 -q -T0 -B4M"},
	{"xz", "", "", "xz -1 -T0"},
	{"bzip2", "", "", "bzip2"},
}

// declared is the name of the format here.
func (k kind) declared() string {
	name, _, _ := strings.Cut(k.name, " ")
	return name
}

// image is a kind's file.
type image struct {
	kind kind
	path string
}

// makeImages makes those images that are missing and whose names contain only.
func makeImages(ctx context.Context, dir, only string) ([]image, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	raw := filepath.Join(dir, "raw")
	if _, err := os.Stat(raw); err != nil {
		if err := benchdisk.Make(ctx, raw+".new", diskSize, diskData); err != nil {
			return nil, err
		}
		if err := os.Rename(raw+".new", raw); err != nil {
			return nil, err
		}
	}
	var set []image
	for _, k := range kinds {
		if !strings.Contains(k.name, only) {
			continue
		}
		i := image{k, filepath.Join(dir, strings.ReplaceAll(k.name, " ", "-"))}
		if _, err := os.Stat(i.path); err != nil {
			fmt.Println("making", k.name)
			if err := i.make(ctx, raw); err != nil {
				return nil, err
			}
		}
		set = append(set, i)
	}
	return set, nil
}

func (i image) make(ctx context.Context, raw string) error {
	script := fmt.Sprintf("qemu-img convert -f raw -O %s %s %q %q", i.kind.format, i.kind.options, raw, i.path+".new")
	if i.kind.packer != "" {
		script = fmt.Sprintf("%s -c < %q > %q", i.kind.packer, raw, i.path+".new")
	}
	if out, err := exec.CommandContext(ctx, "sh", "-ec", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, out)
	}
	return os.Rename(i.path+".new", i.path)
}

// rival returns the name of the program that the image is read with for comparison.
func (k kind) rival() string {
	if k.packer == "" {
		return "qemu-img"
	}
	tool, _, _ := strings.Cut(k.packer, " ")
	return tool
}

// other returns the side that reads the image with the rival, and drops the result.
func (i image) other() side {
	if i.kind.packer == "" {
		size := strconv.Itoa(diskSize + 64<<20) // some formats round the disk up
		return side{"qemu-img", []string{
			"convert", "-f", i.kind.format, "-n", "--target-image-opts", "-m", "16", "-W", i.path, "driver=null-co,size=" + size,
		}}
	}
	threads := ""
	if i.kind.rival() == "xz" {
		threads = fmt.Sprintf("-T%d", runtime.NumCPU())
	}
	// The output goes to a pipe, so that the tool does not skip the work.
	return side{"sh", []string{"-c", fmt.Sprintf("%s -dc %s %q | cat > /dev/null", i.kind.rival(), threads, i.path)}}
}
