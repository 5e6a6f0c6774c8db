package main

import (
	"context"
	"fmt"
	"slices"

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
		images, err := everywhere(ctx, c.regionFlags, s, func(in *client.Client) ([]client.ImageTask, error) { return in.ImageTasks(ctx) })
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(append(asAny(tasks), asAny(images)...))
		}
		var rows [][]string
		for _, t := range tasks {
			rows = append(rows, []string{t.ID, t.Region, t.Status, percent(t), t.Format, size(t.VirtualBytes), ago(t.CreatedAt), t.SourceName, result(t)})
		}
		for _, t := range images {
			sum := t.Summary()
			sum.SnapshotID = t.ImageID // its result
			rows = append(rows, []string{t.ID, t.Region, t.Status, percent(sum), "", size(sum.VirtualBytes), ago(t.CreatedAt), sourceNames(t), result(sum)})
		}
		return a.printTable([]string{"Task", "Region", "Status", "Progress", "Format", "Disk", "Created", "Source", "Result"}, rows)
	})
}

// sourceNames names the files that a machine image is made of.
func sourceNames(t client.ImageTask) string {
	var names []string
	for _, d := range t.Disks {
		if d.Task != nil && !slices.Contains(names, d.Task.SourceName) {
			names = append(names, d.Task.SourceName)
		}
	}
	return list(names)
}

// asAny returns a list for printing with others, which is empty rather than nil.
func asAny[T any](list []T) []any {
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
	}
	return all
}

// result returns what came of a task, or what keeps it.
func result(t client.Task) string {
	switch {
	case t.Failure != nil:
		return t.Failure.Message
	case t.Waiting != nil:
		return "waits for " + t.Waiting.For
	case t.Retry != nil:
		return fmt.Sprintf("is tried again after %s: %s", counted(t.Retry.Failures, "failure"), t.Retry.Cause)
	}
	return t.SnapshotID
}
