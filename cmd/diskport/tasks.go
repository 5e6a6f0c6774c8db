package main

import (
	"context"

	"github.com/jedib0t/go-pretty/v6/table"
)

type tasksCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists import tasks.
func (c *tasksCmd) Run(ctx context.Context, a *app) error {
	return a.with(ctx, func(s *session) error {
		tasks, err := s.Tasks(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			return a.printJSON(tasks)
		}
		var rows []table.Row
		for _, t := range tasks {
			result := t.SnapshotID
			if t.Failure != nil {
				result = t.Failure.Message
			}
			rows = append(rows, table.Row{t.ID, t.Status, percent(t), t.Format, size(t.VirtualBytes), ago(t.CreatedAt), result})
		}
		a.printTable(table.Row{"Task", "Status", "Progress", "Format", "Disk", "Created", "Result"}, rows)
		return nil
	})
}
