package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type diffCmd struct {
	JSON bool
}

func (c *diffCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff SNAPSHOT SNAPSHOT",
		Short: "List where two snapshots differ.",
		Long: "List where two snapshots differ, in blocks of 512 KiB: what the second has changed, added or left out. They need not be related. " +
			"Exit code 0 says that they were compared, not that they are equal.",
		Example: "  diskport diff snap-0123456789abcdef0 snap-0fedcba9876543210\n  diskport diff --json snap-0123456789abcdef0 snap-0fedcba9876543210",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0], args[1]) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// differing is what diff --json prints.
type differing struct {
	First   string             `json:"first"`
	Second  string             `json:"second"`
	Blocks  int64              `json:"blocks"` // that differ
	Bytes   int64              `json:"bytes"`  // of them
	Changes []client.BlockDiff `json:"changes"`
}

// run lists where two snapshots differ.
func (c *diffCmd) run(ctx context.Context, a *app, first, second string) error {
	return a.withLasting(ctx, func(s *session) error {
		d := differing{First: first, Second: second, Changes: []client.BlockDiff{}}
		err := s.EachChange(ctx, first, second, func(next client.BlockDiff) {
			d.Blocks += next.Bytes / client.BlockSize
			d.Bytes += next.Bytes
			d.Changes = append(d.Changes, next)
		})
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(d)
		}
		if d.Blocks == 0 {
			a.say("no block differs\n")
			return nil
		}
		var rows [][]string
		for _, ch := range d.Changes {
			rows = append(rows, []string{fmt.Sprintf("%#x", ch.Offset), fmt.Sprintf("%#x", ch.Bytes), size(ch.Bytes), ch.Kind})
		}
		if err := a.printTable([]string{"Start", "Length", "", "In the second"}, rows); err != nil {
			return err
		}
		a.note("%s of %s differ", count(d.Blocks, "block"), size(d.Bytes))
		return nil
	})
}
