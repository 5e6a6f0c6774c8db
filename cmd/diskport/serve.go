package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/server"
)

type serveCmd struct {
	serviceFlags
}

func (c *serveCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run the service: every AWS endpoint and the workers.",
		Example: "  diskport serve\n  diskport serve --data /srv/diskport --listen 0.0.0.0:4580 \\\n    --tls-cert cert.pem --tls-key key.pem\n  diskport serve --config /etc/diskport.yml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	c.declare(cmd.Flags())
	return cmd
}

// run runs the service until ctx ends.
func (c *serveCmd) run(ctx context.Context, a *app) (err error) {
	if err := c.validate(); err != nil {
		return &usageError{err}
	}
	cfg, err := a.serverConfig(ctx, &c.serviceFlags)
	if err != nil {
		return err
	}
	cfg.Ready = func(endpoint string) {
		a.printFields(
			"Listening on", endpoint,
			"Data in", cfg.Data,
			"Credentials", `eval "$(diskport --data `+quote(cfg.Data)+` env)"`,
			"First import", "diskport --data "+quote(cfg.Data)+" import IMAGE",
		)
	}
	srv, err := server.New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	if err := srv.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
