package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/client"
)

type roleCmd struct {
	Print string
}

func (c *roleCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "role [NAME]",
		Short: "Make the service role that imports by AWS's API need: vmimport.",
		Long: "Make the service role that ImportSnapshot needs, vmimport unless NAME says otherwise, as AWS's VM Import user guide tells to: " +
			"with a trust policy for the import service, and the right to read images in all buckets of the account. One that exists is left alone.",
		Example: "  diskport role\n  diskport role --print trust >trust-policy.json\n  diskport role --print permissions >role-policy.json",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args) },
	}
	choiceVar(cmd.Flags(), &c.Print, "print", "Print a policy instead, for AWS's own tools: `POLICY`, trust or permissions.", "none", "trust", "permissions")
	setEnv(cmd.Flags(), "print")
	return cmd
}

// vmimport is the role that AWS's API takes if a call names none.
const vmimport = "vmimport"

// run makes the role, or prints a policy of it.
func (c *roleCmd) run(ctx context.Context, a *app, args []string) error {
	switch c.Print {
	case "trust":
		a.say("%s\n", client.TrustPolicy)
		return nil
	case "permissions":
		a.say("%s\n", client.RolePolicy)
		return nil
	}
	name := vmimport
	if len(args) > 0 {
		name = args[0]
	}
	return a.with(ctx, func(s *session) error {
		if err := s.EnsureRole(ctx, name); err != nil {
			return err
		}
		_, err := fmt.Fprintln(a.stdout, name)
		return err
	})
}
