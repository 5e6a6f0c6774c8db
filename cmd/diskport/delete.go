package main

import (
	"context"

	"github.com/spf13/cobra"
)

type deleteCmd struct{}

func (c *deleteCmd) command(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "delete SNAPSHOT...",
		Short:   "Delete snapshots.",
		Example: "  diskport delete snap-0123456789abcdef0",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
}

// run deletes snapshots.
func (c *deleteCmd) run(ctx context.Context, a *app, ids []string) error {
	return a.with(ctx, func(s *session) error {
		for _, id := range ids {
			if err := s.Delete(ctx, id); err != nil {
				return err
			}
			a.note("%s: deleted; diskport compact gives its space back at once", id)
		}
		return nil
	})
}
