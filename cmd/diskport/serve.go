package main

import (
	"context"
	"errors"

	"github.com/diskport/diskport/internal/server"
)

type serveCmd struct {
	serviceFlags
}

// Run runs the service until ctx ends.
func (c *serveCmd) Run(ctx context.Context, a *app) (err error) {
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
