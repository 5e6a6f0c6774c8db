package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/diskport/diskport/diskimage"
)

type convertCmd struct {
	Image string `arg:"" type:"path" help:"Disk image: a local file."`
	Out   string `arg:"" type:"path" help:"Raw file to write, which must not exist."`
	imageFlags
	JSON bool `name:"json" help:"Print JSON: what inspect says of the image, and what was written."`
}

// converted is what convert --json prints.
type converted struct {
	inspected
	Out     string  `json:"out"`
	Seconds float64 `json:"seconds"`
}

// Run converts an image.
func (c *convertCmd) Run(ctx context.Context, a *app) error {
	start := time.Now()
	img, err := c.open(ctx, c.Image)
	if err != nil {
		return err
	}
	defer img.close()
	p := a.newProgress(c.Image)
	err = writeRaw(ctx, img, c.Out, func(off int64) { p.step("converting", off, img.Size()) })
	if p.end(); err != nil {
		return err
	}
	took := time.Since(start).Seconds()
	for _, w := range img.describe().Warnings {
		a.note("%s: warning: %s", c.Image, w)
	}
	if !c.JSON {
		return nil
	}
	r, err := img.inspect(c.Image)
	if err != nil {
		return err
	}
	return a.printJSON(converted{r, c.Out, took})
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
	if err := diskimage.CopyTo(ctx, out, d, diskimage.CopyOptions{Progress: progress}); err != nil {
		return err
	}
	return out.Sync()
}
