package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type tasksCmd struct {
	regionFlags
	JSON bool
}

func (c *tasksCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tasks",
		Short: "List import tasks.",
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	c.declare(cmd.Flags())
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run lists import tasks.
func (c *tasksCmd) run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		tasks, err := everywhere(ctx, c.regionFlags, s, func(in *client.Client) ([]client.Task, error) { return in.Tasks(ctx) })
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(tasks)
		}
		var rows [][]string
		for _, t := range tasks {
			rows = append(rows, []string{t.ID, t.Region, t.Status, percent(t), t.Format, size(t.VirtualBytes), ago(t.CreatedAt), result(t)})
		}
		return a.printTable([]string{"Task", "Region", "Status", "Progress", "Format", "Disk", "Created", "Result"}, rows)
	})
}

// result returns what came of a task, or what keeps it.
func result(t client.Task) string {
	switch {
	case t.Failure != nil:
		return t.Failure.Message
	case t.Waiting != nil:
		return "waits for " + t.Waiting.For
	case t.Retry != nil:
		return fmt.Sprintf("failed %d times, is tried again: %s", t.Retry.Failures, t.Retry.Cause)
	}
	return t.SnapshotID
}
