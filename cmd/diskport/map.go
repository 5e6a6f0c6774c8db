package main

import (
	"context"
	"fmt"

	"github.com/diskport/diskport/diskimage"
)

type mapCmd struct {
	Image string `arg:"" type:"path" help:"Disk image: a local file."`
	imageFlags
	JSON bool `name:"json" help:"Print JSON, with the keys of qemu-img map --output=json."`
}

// mapped is an extent, with the field names of qemu-img map --output=json.
type mapped struct {
	Start   int64 `json:"start"`
	Length  int64 `json:"length"`
	Present bool  `json:"present"` // the image has an entry for it
	Zero    bool  `json:"zero"`
	Data    bool  `json:"data"`
}

// Run lists an image's extents.
func (c *mapCmd) Run(ctx context.Context, a *app) error {
	img, err := c.open(ctx, c.Image)
	if err != nil {
		return err
	}
	defer img.close()
	extents := []mapped{}
	for e, err := range img.Extents(0, img.Size()) {
		if err != nil {
			return fmt.Errorf("walking %s: %w", c.Image, err)
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
