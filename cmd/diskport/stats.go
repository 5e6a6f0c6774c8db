package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

type statsCmd struct {
	JSON bool
}

func (c *statsCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what the store holds and takes.",
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run shows what the store holds and takes.
func (c *statsCmd) run(ctx context.Context, a *app) error {
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
			"Distinct", fmt.Sprintf("%s in %s, each stored once%s", size(u.DistinctBytes), count(u.Blocks, "block"), times(", deduplication", u.Deduplication)),
			"Stored", fmt.Sprintf("%s, %s compressed%s", size(u.StoredBytes), count(u.CompressedBlocks, "block"), times(", compression", u.Compression)),
			"Dead", size(u.DeadBytes)+", which diskport compact gives back",
			"Files", fmt.Sprintf("%s, in %s and the pages and roots of snapshots", size(u.FileBytes), count(u.Packs, "pack")),
		)
		if u.DamagedBlocks > 0 {
			a.printFields("Damaged", count(u.DamagedBlocks, "block")+", which are whole again once the same disks are imported again")
		}
		return nil
	})
}

// times renders a ratio: ", compression 2.13×"; nothing when there is none.
func times(what string, ratio float64) string {
	if ratio == 0 {
		return ""
	}
	return fmt.Sprintf("%s %.2f×", what, ratio)
}
