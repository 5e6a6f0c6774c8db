package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/diskimage"
	"github.com/diskport/diskport/diskimage/ova"
)

type inspectCmd struct {
	imageFlags
	JSON bool
}

func (c *inspectCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "inspect IMAGE",
		Short:   "Say what a disk image is: format, variant, sizes, warnings.",
		Example: "  diskport inspect disk.vmdk\n  diskport inspect --json vm.ova\n  diskport inspect s3://images/disk.vmdk",
		RunE: func(cmd *cobra.Command, args []string) error {
			return guarded(func() error { return c.run(cmd.Context(), a, args[0]) })
		},
	}
	c.declare(cmd.Flags())
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// inspected is what inspect --json prints.
type inspected struct {
	Image        string   `json:"image"`
	Format       string   `json:"format"`
	Container    string   `json:"container,omitempty"`
	Variant      string   `json:"variant,omitempty"`
	Creator      string   `json:"creator,omitempty"`
	FileBytes    int64    `json:"fileBytes"`
	VirtualBytes int64    `json:"virtualBytes"`
	VolumeSize   int64    `json:"volumeSize"` // GiB
	DataBytes    int64    `json:"dataBytes"`  // by the image's tables
	UnitBytes    int64    `json:"unitBytes,omitempty"`
	Warnings     []string `json:"warnings"`
}

// run describes an image.
func (c *inspectCmd) run(ctx context.Context, a *app, name string) error {
	err := c.withImage(ctx, a, name, func(path string, img *image) error { return c.print(a, path, img) })
	var choice *ova.ChoiceError
	if errors.As(err, &choice) && len(choice.Disks) > 1 && c.Disk == "" {
		return c.listDisks(a, name, choice.Disks)
	}
	return err
}

func (c *inspectCmd) print(a *app, image string, img *image) error {
	r, err := img.inspect(image)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(r)
	}
	a.printFields(
		"Image", image,
		"Format", strings.TrimSpace(r.Format+" "+r.Variant),
		"Inside", r.Container,
		"Creator", r.Creator,
		"File", fmt.Sprintf("%s (%d bytes)", size(r.FileBytes), r.FileBytes),
		"Disk", fmt.Sprintf("%s (%d bytes)", size(r.VirtualBytes), r.VirtualBytes),
		"Volume", fmt.Sprintf("%d GiB", r.VolumeSize),
		"Data", size(r.DataBytes),
		"Unit", unit(r.UnitBytes),
		"Warnings", strings.Join(r.Warnings, "; "),
	)
	return nil
}

// unit is the size of a format's grains, blocks or clusters; a raw disk has none.
func unit(n int64) string {
	if n == 0 {
		return ""
	}
	return size(n)
}

// listed is what inspect --json prints of an OVA of several disks.
type listed struct {
	Image     string   `json:"image"`
	Container string   `json:"container"`
	Disks     []string `json:"disks"` // the names of their files
}

// listDisks prints which disks an OVA holds.
func (c *inspectCmd) listDisks(a *app, image string, disks []string) error {
	if c.JSON {
		return a.printJSON(listed{image, "ova", disks})
	}
	a.printFields("Image", image, "Inside", fmt.Sprintf("ova of %d disks; see one with --disk NAME", len(disks)))
	for _, name := range disks {
		a.printFields("Disk", name)
	}
	return nil
}

// inspect returns what an image is.
func (i *image) inspect(path string) (inspected, error) {
	d := i.describe()
	r := inspected{
		Image:        path,
		Format:       d.Format,
		Container:    d.Container,
		Variant:      d.Variant,
		Creator:      d.Creator,
		FileBytes:    i.size,
		VirtualBytes: i.Size(),
		VolumeSize:   max(1, (i.Size()+1<<30-1)>>30),
		UnitBytes:    d.UnitSize,
		Warnings:     append([]string{}, d.Warnings...),
	}
	var err error
	if r.DataBytes, err = diskimage.DataBytes(i); err != nil {
		return r, fmt.Errorf("walking %s: %w", path, err)
	}
	return r, nil
}
