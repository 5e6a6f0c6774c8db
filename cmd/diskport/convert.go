package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/internal/work"
)

type convertCmd struct {
	imageFlags
	JSON bool
}

func (c *convertCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "convert IMAGE OUT",
		Short:   "Convert a disk image to a sparse raw file.",
		Long:    "Convert a disk image, IMAGE, to a sparse raw file, OUT, which must not exist.",
		Example: "  diskport convert disk.vmdk disk.raw\n  diskport convert --disk vm-disk1.vmdk vm.ova disk.raw",
		RunE: func(cmd *cobra.Command, args []string) error {
			return guarded(func() error { return c.run(cmd.Context(), a, args) })
		},
	}
	c.declare(cmd.Flags())
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
	start := time.Now()
	image, err := absolutePath(args[0])
	if err != nil {
		return err
	}
	out, err := absolutePath(args[1])
	if err != nil {
		return err
	}
	img, err := c.open(ctx, image)
	if err != nil {
		return err
	}
	defer img.close()
	p := a.newProgress(image)
	err = writeRaw(ctx, img, out, func(off int64) { p.step("converting", off, img.Size()) })
	if p.end(); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	for _, w := range img.describe().Warnings {
		a.note("%s: warning: %s", image, w)
	}
	if !c.JSON {
		return nil
	}
	r, err := img.inspect(image)
	if err != nil {
		return err
	}
	return a.printJSON(converted{r, out, took})
}

// writeRaw writes a disk to a new sparse file, durably, which its owner alone can
// read. On any error the file is removed.
func writeRaw(ctx context.Context, d diskimage.Disk, path string, progress func(off int64)) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	if err := out.Truncate(d.Size()); err != nil {
		return fmt.Errorf("making %s %d bytes long: %w", path, d.Size(), err)
	}
	err = work.Guard(func() error { return diskimage.CopyTo(ctx, out, d, diskimage.CopyOptions{Progress: progress}) }) // here, so that the file goes
	if err != nil {
		return err
	}
	return out.Sync()
}
