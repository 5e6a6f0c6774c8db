package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type snapshotsCmd struct {
	regionFlags
	JSON bool
}

func (c *snapshotsCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "snapshots",
		Short:   "List snapshots with their sizes.",
		Example: "  diskport snapshots --all-regions\n  diskport snapshots --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	c.declare(cmd.Flags())
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run lists snapshots.
func (c *snapshotsCmd) run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		snapshots, err := everywhere(ctx, c.regionFlags, s, func(in *client.Client) ([]client.Snapshot, error) { return in.Snapshots(ctx) })
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(snapshots)
		}
		var rows [][]string
		for _, sn := range snapshots {
			rows = append(rows, []string{
				sn.ID, sn.Region, sn.State, fmt.Sprintf("%d GiB", sn.VolumeSize), size(sn.DataBytes), size(sn.StoredBytes),
				yes(sn.Encrypted), ago(sn.StartedAt), tags(sn.Tags), sn.Description,
			})
		}
		return a.printTable([]string{"Snapshot", "Region", "State", "Volume", "Data", "Stored", "Encrypted", "Created", "Tags", "Description"}, rows)
	})
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func tags(m map[string]string) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, k+"="+m[k])
	}
	return strings.Join(pairs, " ")
}
