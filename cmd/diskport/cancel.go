package main

import (
	"context"

	"github.com/spf13/cobra"
)

type cancelCmd struct{}

func (c *cancelCmd) command(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "cancel TASK...",
		Short:   "Cancel import tasks.",
		Example: "  diskport cancel import-snap-0123456789abcdef0 import-ami-0123456789abcdef0",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
}

// run cancels tasks.
func (c *cancelCmd) run(ctx context.Context, a *app, ids []string) error {
	return a.with(ctx, func(s *session) error {
		for _, id := range ids {
			if err := s.Cancel(ctx, id); err != nil {
				return err
			}
			a.note("%s: cancelled", id)
		}
		return nil
	})
}
