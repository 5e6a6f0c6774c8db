package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type snapshotCmd struct {
	NoSizes bool
	JSON    bool
}

func (c *snapshotCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "snapshot SNAPSHOT",
		Short:   "Show a snapshot.",
		Example: "  diskport snapshot snap-0123456789abcdef0",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0]) },
	}
	cmd.Flags().BoolVar(&c.NoSizes, "no-sizes", false, "Don't measure what it stores and shares, which takes long in a large store.")
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run shows a snapshot.
func (c *snapshotCmd) run(ctx context.Context, a *app, id string) error {
	return a.with(ctx, func(s *session) error {
		sn, err := s.Snapshot(ctx, id)
		if err != nil {
			return err
		}
		if !c.NoSizes && sn.State == "completed" {
			if sn.Sizes, err = a.measure(ctx, s.Client, sn.ID); err != nil {
				return fmt.Errorf("%w (--no-sizes shows the rest)", err)
			}
		}
		if c.JSON {
			return a.printJSON(sn)
		}
		a.printFields(
			"Snapshot", sn.ID,
			"Region", sn.Region,
			"State", strings.TrimSuffix(sn.State+": "+sn.Message, ": "),
			"Name", sn.Tags["Name"],
			"Source", sn.SourceName,
			"Description", sn.Description,
			"Import task", sn.ImportTaskID,
			"Volume", fmt.Sprintf("%d GiB", sn.VolumeSize),
			"Virtual", fmt.Sprintf("%s (%d bytes)", size(sn.Size()), sn.Size()),
			"Data", fmt.Sprintf("%s in %d blocks", size(sn.DataBytes), sn.Blocks),
			"Added", size(sn.AddedBytes)+" to the store, when it was made",
		)
		a.printSizes(sn.Sizes)
		a.printFields(
			"Encrypted", strings.TrimSuffix(yes(sn.Encrypted)+", under "+sn.KMSKeyARN, ", under "),
			"Started", sn.StartedAt.Format(time.RFC3339),
			"Tags", tags(sn.Tags),
		)
		return nil
	})
}
