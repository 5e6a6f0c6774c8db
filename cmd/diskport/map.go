package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/diskimage"
)

type mapCmd struct {
	imageFlags
	JSON bool
}

func (c *mapCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "map IMAGE",
		Short:   "List which parts of a disk image hold data.",
		Example: "  diskport map disk.qcow2\n  diskport map --json s3://images/disk.vmdk",
		RunE: func(cmd *cobra.Command, args []string) error {
			return guarded(func() error { return c.run(cmd.Context(), a, args[0]) })
		},
	}
	c.declare(cmd.Flags())
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON, with the keys of qemu-img map --output=json.")
	return cmd
}

// mapped is an extent, with the field names of qemu-img map --output=json.
type mapped struct {
	Start   int64 `json:"start"`
	Length  int64 `json:"length"`
	Present bool  `json:"present"` // the image has an entry for it
	Zero    bool  `json:"zero"`
	Data    bool  `json:"data"`
}

// run lists an image's extents.
func (c *mapCmd) run(ctx context.Context, a *app, name string) error {
	return c.withImage(ctx, a, name, func(path string, img *image) error { return c.list(a, path, img) })
}

func (c *mapCmd) list(a *app, image string, img *image) error {
	extents := []mapped{}
	for e, err := range img.Extents(0, img.Size()) {
		if err != nil {
			return fmt.Errorf("walking %s: %w", image, err)
		}
		extents = append(extents, mapped{
			Start:   e.Off,
			Length:  e.Len,
			Present: e.Kind != diskimage.Hole,
			Zero:    e.Kind != diskimage.Data,
			Data:    e.Kind == diskimage.Data,
		})
	}
	if c.JSON {
		return a.printJSON(extents)
	}
	var rows [][]string
	for _, e := range extents {
		kind := "hole"
		switch {
		case e.Data:
			kind = "data"
		case e.Present:
			kind = "zero"
		}
		rows = append(rows, []string{fmt.Sprintf("%#x", e.Start), fmt.Sprintf("%#x", e.Length), size(e.Length), kind})
	}
	return a.printTable([]string{"Start", "Length", "", "Kind"}, rows)
}
