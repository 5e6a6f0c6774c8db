package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type snapshotsCmd struct {
	regionFlags
	Sizes bool
	JSON  bool
}

func (c *snapshotsCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "snapshots",
		Short:   "List snapshots with their sizes.",
		Example: "  diskport snapshots --all-regions\n  diskport snapshots --sizes\n  diskport snapshots --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	c.declare(cmd.Flags())
	cmd.Flags().BoolVar(&c.Sizes, "sizes", false, "Measure what each stores and shares, and what deleting it gives back, one after the other.")
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run lists snapshots.
func (c *snapshotsCmd) run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		snapshots, err := everywhere(ctx, c.regionFlags, s, func(in *client.Client) ([]client.Snapshot, error) { return c.list(ctx, a, in) })
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(snapshots)
		}
		return c.print(a, snapshots)
	})
}

// list lists the snapshots of a client's region.
func (c *snapshotsCmd) list(ctx context.Context, a *app, in *client.Client) ([]client.Snapshot, error) {
	list, err := in.Snapshots(ctx)
	if err != nil || !c.Sizes {
		return list, err
	}
	for i := range list {
		if list[i].State != "completed" {
			continue
		}
		list[i].Sizes, err = a.measure(ctx, in, list[i].ID)
		if err != nil && !client.IsNotFound(err) { // it may have been deleted meanwhile
			return nil, err
		}
	}
	return list, nil
}

func (c *snapshotsCmd) print(a *app, snapshots []client.Snapshot) error {
	header := []string{"Snapshot", "Region", "State", "Virtual", "Data", "Added"}
	if c.Sizes {
		header = append(header, "Stored", "Shared", "Unique")
	}
	var rows [][]string
	for _, sn := range snapshots {
		row := []string{sn.ID, sn.Region, sn.State, size(sn.Size()), size(sn.DataBytes), size(sn.AddedBytes)}
		if c.Sizes {
			row = append(row, sizeCells(sn.Sizes)...)
		}
		rows = append(rows, append(row, yes(sn.Encrypted), ago(sn.StartedAt), sn.SourceName, tags(sn.Tags), ownDescription(sn)))
	}
	return a.printTable(append(header, "Encrypted", "Created", "Source", "Tags", "Description"), rows)
}

// ownDescription is the description that somebody gave: the one that the service makes names
// the import task, which the source says better in a table.
func ownDescription(sn client.Snapshot) string {
	if sn.ImportTaskID != "" && strings.HasSuffix(sn.Description, " service for "+sn.ImportTaskID) {
		return ""
	}
	return sn.Description
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
