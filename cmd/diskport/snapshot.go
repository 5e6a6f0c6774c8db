package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

type snapshotCmd struct {
	ID   string `arg:"" help:"Snapshot: snap-…"`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run shows a snapshot.
func (c *snapshotCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		sn, err := s.Snapshot(ctx, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(sn)
		}
		a.printFields(
			"Snapshot", sn.ID,
			"Region", sn.Region,
			"State", strings.TrimSuffix(sn.State+": "+sn.Message, ": "),
			"Description", sn.Description,
			"Import task", sn.ImportTaskID,
			"Volume", fmt.Sprintf("%d GiB", sn.VolumeSize),
			"Disk", fmt.Sprintf("%s (%d bytes)", size(sn.VirtualBytes), sn.VirtualBytes),
			"Data", fmt.Sprintf("%s in %d blocks", size(sn.DataBytes), sn.Blocks),
			"Stored", size(sn.StoredBytes)+" by its own import; the rest is shared",
			"Encrypted", strings.TrimSuffix(yes(sn.Encrypted)+", under "+sn.KMSKeyARN, ", under "),
			"Started", sn.StartedAt.Format(time.RFC3339),
			"Tags", tags(sn.Tags),
		)
		return nil
	})
}
