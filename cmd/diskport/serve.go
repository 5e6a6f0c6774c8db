package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/diskport/diskport/internal/server"
)

type serveCmd struct {
	serviceFlags
}

func (c *serveCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service: every AWS endpoint and the workers.",
		Long: "Run the service. A single node needs nothing else: everything it keeps is in its data directory, and its disk holds all blocks and objects. " +
			"With --database and --store it is one of many nodes that share nothing but a PostgreSQL and an S3. The data directory of such a node is scratch, which may be lost: " +
			"it takes what images unpack to that have to be unpacked while they are imported (two at a time; --quota-scratch bounds it, and --reserve stays free), records of --audit-log that wait for their bucket, and a few KiB besides.",
		Example: "  diskport serve\n  diskport serve --data /srv/diskport --listen 0.0.0.0:4580 \\\n    --tls-cert cert.pem --tls-key key.pem\n  diskport serve --config /etc/diskport.yml\n" +
			"  diskport serve --master-key-file /run/secrets/diskport.key \\\n    --database postgres://diskport@db.example.com/diskport \\\n" +
			"    --store 's3://blocks/diskport?endpoint=https://s3.example.com' \\\n    --source-endpoint https://s3.example.com",
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
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
		if cfg.Database != "" {
			a.printFields("Listening on", endpoint, "Scratch in", cfg.Data)
			return
		}
		a.printFields(
			"Listening on", endpoint,
			"Data in", cfg.Data,
			"Credentials", `eval "$(diskport --data `+quote(cfg.Data)+` env)"`,
			"First import", "diskport --data "+quote(cfg.Data)+" import IMAGE",
		)
	}
	srv, err := server.New(ctx, cfg)
	if err != nil {
		return &startError{err}
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	defer reloadOnHangup(ctx, srv)()
	if err := srv.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// reloadOnHangup has SIGHUP read the certificate anew, which the service does by itself too,
// until the function that it returns is called.
func reloadOnHangup(ctx context.Context, srv *server.App) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				srv.ReloadCertificate()
			}
		}
	})
	return func() {
		signal.Stop(hangup)
		cancel()
		listening.Wait()
	}
}
