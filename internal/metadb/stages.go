package metadb

import (
	"context"

	"github.com/diskport/diskport/internal/imports/importtask"
)

var _ importtask.Stages = Tasks{}

// Stages implements importtask.Stages. A task that has not ended has a unit, but for a disk
// that waits for the others of its image.
func (t Tasks) Stages(ctx context.Context) (stages []importtask.Stage, err error) {
	scan := func(s scanner) (g importtask.Stage, err error) {
		err = s.Scan(&g.State, &g.Phase, &g.Tasks)
		return g, err
	}
	err = t.db.ask(ctx, "count the tasks that have not ended", func(q querier) error {
		stages, err = all(ctx, q, scan, `
			SELECT t.state, t.phase, COUNT(*) FROM tasks t WHERE t.id IN (SELECT task FROM units)
			GROUP BY t.state, t.phase ORDER BY t.state, t.phase`)
		return err
	})
	return stages, err
}
