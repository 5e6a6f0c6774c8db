package main

import (
	"context"

	"github.com/diskport/diskport/internal/client"
)

type tasksCmd struct {
	regionFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists import tasks.
func (c *tasksCmd) Run(ctx context.Context, a *app) error {
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
			result := t.SnapshotID
			if t.Failure != nil {
				result = t.Failure.Message
			}
			rows = append(rows, []string{t.ID, t.Region, t.Status, percent(t), t.Format, size(t.VirtualBytes), ago(t.CreatedAt), result})
		}
		return a.printTable([]string{"Task", "Region", "Status", "Progress", "Format", "Disk", "Created", "Result"}, rows)
	})
}
