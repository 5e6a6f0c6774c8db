package main

import (
	"context"
	"fmt"
)

type statsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows what the store holds and takes.
func (c *statsCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		u, err := s.Stats(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(u)
		}
		a.printFields(
			"Snapshots", fmt.Sprint(u.Snapshots),
			"Virtual", size(u.VirtualBytes)+" of disks",
			"Data", size(u.DataBytes)+" in their blocks",
			"Distinct", fmt.Sprintf("%s in %d blocks, each stored once", size(u.DistinctBytes), u.Blocks),
			"Stored", fmt.Sprintf("%s, %d of them compressed", size(u.StoredBytes), u.CompressedBlocks),
			"Dead", size(u.DeadBytes)+", which diskport compact gives back",
			"Files", fmt.Sprintf("%s, %d packs among them", size(u.FileBytes), u.Packs),
		)
		if u.DamagedBlocks > 0 {
			a.printFields("Damaged", fmt.Sprintf("%d blocks", u.DamagedBlocks))
		}
		return nil
	})
}
