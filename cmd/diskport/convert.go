package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/vmdk"
	"github.com/diskport/diskport/internal/work"
)

type convertCmd struct {
	imageFlags
	To   string
	JSON bool
}

func (c *convertCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "convert IMAGE OUT",
		Short:   "Convert a disk image to a sparse raw file, or to a VMDK.",
		Long:    "Convert a disk image, IMAGE, to OUT, which must not exist; - is standard output. IMAGE is a file, or an object of the service's S3, s3://BUCKET/KEY. What is written is raw, with holes where the disk has zeros, or a stream-optimized VMDK if OUT is called so.",
		Example: "  diskport convert disk.vmdk disk.raw\n  diskport convert --disk vm-disk1.vmdk vm.ova disk.raw\n  diskport convert disk.qcow2 disk.vmdk\n  diskport convert disk.vhdx - | ssh host dd of=/dev/vdb bs=1M",
		RunE: func(cmd *cobra.Command, args []string) error {
			return guarded(func() error { return c.run(cmd.Context(), a, args) })
		},
	}
	c.declare(cmd.Flags())
	choiceVar(cmd.Flags(), &c.To, "to", "`FORMAT` to write: raw, vmdk, or auto, which goes by what OUT is called.", "auto", "raw", "vmdk")
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON: what inspect says of the image, and what was written.")
	return cmd
}

// converted is what convert --json prints.
type converted struct {
	inspected
	Out     string  `json:"out"`
	Seconds float64 `json:"seconds"`
}

// run converts an image.
func (c *convertCmd) run(ctx context.Context, a *app, args []string) error {
	out, err := absolutePath(args[1])
	if err != nil {
		return err
	}
	write, err := c.writer(a, out)
	if err != nil {
		return &usageError{err}
	}
	return c.withImage(ctx, a, args[0], func(path string, img *image) error { return c.convert(ctx, a, path, img, out, write) })
}

// writer writes a disk to a file that does not exist, or to standard output.
type writer func(ctx context.Context, d diskimage.Disk, path string, progress func(off int64)) error

// writer returns what writes the format that is asked for, or that a name promises. It never
// writes one format under the name of another.
func (c *convertCmd) writer(a *app, out string) (writer, error) {
	ext := strings.ToLower(filepath.Ext(out))
	other := slices.Contains(imageNames, ext) && ext != ".raw" && ext != ".img"
	switch {
	case out == "-" && c.JSON:
		return nil, errors.New("--json and the image can't both go to standard output")
	case out == "-" && isTerminal(a.stdout):
		return nil, errors.New("an image is nothing for a terminal: put it into a file or a pipe")
	case out == "-" && c.To == "vmdk":
		return func(ctx context.Context, d diskimage.Disk, _ string, progress func(int64)) error {
			return vmdk.WriteStream(ctx, a.stdout, d, vmdk.StreamOptions{Progress: progress})
		}, nil
	case out == "-":
		return func(ctx context.Context, d diskimage.Disk, _ string, progress func(int64)) error {
			return streamRaw(ctx, d, a.stdout, progress)
		}, nil
	case c.To == "vmdk", c.To == "auto" && ext == ".vmdk":
		return writeVMDK, nil
	case c.To == "auto" && other:
		return nil, fmt.Errorf("convert writes raw and VMDK, and %s is called as another format. Call it .raw or .vmdk; "+
			"qemu-img convert makes other formats of a raw file. --to raw writes a raw file of this name", filepath.Base(out))
	}
	return writeRaw, nil
}

// convert writes an open image.
func (c *convertCmd) convert(ctx context.Context, a *app, path string, img *image, out string, write writer) error {
	start := time.Now()
	p := a.newProgress(path)
	err := write(ctx, img, out, func(off int64) { p.step("converting", off, img.Size()) })
	if p.end(); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	for _, w := range img.describe().Warnings {
		a.note("%s: warning: %s", path, w)
	}
	if !c.JSON {
		return nil
	}
	r, err := img.inspect(path)
	if err != nil {
		return err
	}
	return a.printJSON(converted{r, out, took})
}

// streamRaw writes a disk from end to end, with its zeros.
func streamRaw(ctx context.Context, d diskimage.Disk, w io.Writer, progress func(off int64)) error {
	buf, zeros := make([]byte, streamBuffer), make([]byte, streamBuffer)
	write := func(from []byte, off int64) error {
		if _, err := w.Write(from); err != nil {
			return err
		}
		progress(off + int64(len(from)))
		return ctx.Err()
	}
	for e, err := range d.Extents(0, d.Size()) {
		if err != nil {
			return err
		}
		for off, end := e.Off, e.Off+e.Len; off < end; off += streamBuffer {
			n, from := min(streamBuffer, end-off), zeros
			if e.Kind == diskimage.Data {
				from = buf
				if got, err := d.ReadAt(buf[:n], off); int64(got) < n {
					return fmt.Errorf("reading the disk at %d: %w", off, err)
				}
			}
			if err := write(from[:n], off); err != nil {
				return err
			}
		}
	}
	return nil
}

const streamBuffer = 1 << 20

// writeVMDK writes a disk to a new stream-optimized VMDK, as writeRaw writes a raw file.
func writeVMDK(ctx context.Context, d diskimage.Disk, path string, progress func(off int64)) error {
	return writeNew(path, func(out *os.File) error {
		return vmdk.WriteStream(ctx, out, d, vmdk.StreamOptions{Progress: progress})
	})
}

// writeRaw writes a disk to a new sparse file, durably, which its owner alone can
// read. On any error the file is removed.
func writeRaw(ctx context.Context, d diskimage.Disk, path string, progress func(off int64)) error {
	return writeNew(path, func(out *os.File) error {
		if err := out.Truncate(d.Size()); err != nil {
			return fmt.Errorf("making %s %d bytes long: %w", path, d.Size(), err)
		}
		return diskimage.CopyTo(ctx, out, d, diskimage.CopyOptions{Progress: progress})
	})
}

// writeNew makes a file and has it written.
func writeNew(path string, write func(out *os.File) error) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := work.Guard(func() error { return write(out) }); err != nil { // here, so that the file goes
		return err
	}
	return out.Sync()
}
