package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/audit"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/scratch"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/span"
	"github.com/diskport/diskport/internal/steady"
	"github.com/diskport/diskport/internal/work"
)

// App is the service.
type App struct {
	cfg   Config
	log   *slog.Logger
	data  *dataDir
	space *space.Guard
	clock *steady.Clock

	closers   closers
	trims     []func() // give back memory that nobody uses
	listener  net.Listener
	tls       *shownCertificate // nil: it speaks http
	http      *http.Server
	parts     *parts
	handovers *handovers // nil: nothing is handed over
	owner     string     // this process, in leases

	audit  *audit.Log
	spool  *audit.Spool // of its records; nil: they go to no bucket
	tracer *span.Tracer // nil: nothing is traced

	scratch *scratch.Room // what unpacked images take
	strays  *work.Strays  // steps that look into images and do not return

	stopping chan struct{}  // closed when no more requests are taken
	requests sync.WaitGroup // those being answered
	stuck    bool           // some requests did not end: what they use must stay open

	keyID  string
	secret sigv4.Secret

	database atomic.Pointer[metadb.DB] // that tells the time, once it is open

	ahead atomic.Int64 // of the database's clock is this machine's by so many nanoseconds

	rotating  chan struct{} // has a token while the master key is replaced, and while the database is copied
	backingUp sync.Mutex    // held while a backup is made
}

// New opens the service: data directory, database, keys, stores, embedded S3,
// listener. It serves nothing before Run. The caller closes it.
func New(ctx context.Context, cfg Config) (_ *App, err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, log: slog.New(logkey.Handler(cfg.Logger.Handler())), owner: newOwner(), stopping: make(chan struct{}), rotating: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	open := openData
	if cfg.restoring {
		open = lockData
	}
	holder := aService
	if cfg.Command {
		holder = aCommand
	}
	if a.data, err = open(cfg.Data, holder); err != nil {
		return nil, err
	}
	a.closers.add(a.data.close)
	if err = a.boundClients(); err != nil {
		return nil, err
	}
	a.warnOfFormerObjects()
	metrics := prometheus.NewRegistry()
	if err = a.guardSpace(metrics); err != nil {
		return nil, err
	}
	if a.tls, err = a.loadTLS(); err != nil {
		return nil, err
	}
	if a.tracer, err = a.traceTo(metrics); err != nil {
		return nil, err
	}
	if a.parts, err = a.openParts(ctx, metrics); err != nil {
		return nil, metadb.Advised(a.data.file(databaseName), err)
	}
	if err = a.openAudit(metrics); err != nil {
		return nil, err
	}
	a.resumeMaster(ctx)
	a.listenForFiles()
	if a.listener, err = listen(ctx, cfg.Listen); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	a.closers.add(func() error { return ignore(a.listener.Close(), net.ErrClosed) })
	clients := a.cfg.Clients
	control := flow.New(flow.Options{Limits: clients.Flow, Log: a.log, Metrics: metrics, Operator: cfg.AccountID})
	connections := control.Connections(clients.Connections)
	a.listener = connections.Listener(a.listener)
	a.http = newHTTP(clients, connections, a.counted(a.front(metrics, control)), a.tls.config(), a.log)
	a.http.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	a.http.RegisterOnShutdown(func() { close(a.stopping) })
	return a, nil
}

// counted counts the requests that are being answered: closing a client's
// connection ends the request's context, but not its handler.
func (a *App) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.requests.Add(1)
		defer a.requests.Done()
		h.ServeHTTP(w, r)
	})
}

// Addr returns the address that the service listens on.
func (a *App) Addr() string { return a.listener.Addr().String() }

// Endpoint returns the URL under which clients on this machine reach it.
func (a *App) Endpoint() string {
	scheme := "http://"
	if a.tls != nil {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(a.Addr())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return scheme + net.JoinHostPort("127.0.0.1", port)
	}
	return scheme + a.Addr()
}

// Credentials returns the root access key.
func (a *App) Credentials() (accessKeyID, secret string) { return a.keyID, a.secret.Reveal() }

// Handover takes over an open file, or closes it if it fails, and returns a Url that can be
// imported once. The file must be open for reading alone. name is for people.
func (a *App) Handover(f *os.File, name string) (string, error) {
	if a.cfg.shared() {
		err := fmt.Errorf("%w: any of the nodes may read an image, and %s is on this machine: put it into a bucket of the S3 that they import from", ErrOneNodeAlone, name)
		return "", errors.Join(err, f.Close())
	}
	return a.parts.sources.Handovers.Offer(f, name)
}

// Run serves and works until ctx ends, then stops gracefully: no new work is
// claimed, requests and ranges in flight get 10 s.
func (a *App) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := a.announce(); err != nil {
		return err
	}
	if a.cfg.Ready != nil {
		a.cfg.Ready(a.Endpoint())
	}
	a.log.Info("serving", "endpoint", a.Endpoint(), "data", a.data.path, "pid", os.Getpid())
	served := make(chan error, 1)
	go func() {
		served <- a.serve()
		stop()
	}()
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx)) // what work hands back at the end is told, too
	defer unlink()
	var link sync.WaitGroup
	if a.parts.wakes != nil {
		link.Go(func() { a.parts.wakes.Run(linked) })
	}
	worked := make(chan error, 1)
	go func() { worked <- a.work(ctx) }()
	watch := a.watchOver(ctx)
	<-ctx.Done()
	watch.Wait()
	a.log.Info("stopping")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), gracePeriod)
	defer cancel()
	err := a.http.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.http.Close() // cuts off clients that are still connected
	}
	err = errors.Join(err, <-served, <-worked)
	unlink()
	link.Wait()
	answered := make(chan struct{})
	go func() { a.requests.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-time.After(gracePeriod):
		a.stuck = true
		err = errors.Join(err, errors.New("server: requests were still being answered when the service stopped"))
	}
	return err
}

// work does units until ctx ends, if that is a role of this node.
func (a *App) work(ctx context.Context) error {
	if !a.cfg.has(roleWorker) {
		<-ctx.Done()
		return nil
	}
	return a.parts.runner.Run(ctx)
}

// watchOver begins what goes on beside requests and units until ctx ends.
func (a *App) watchOver(ctx context.Context) *sync.WaitGroup {
	var watch sync.WaitGroup
	if a.cfg.shared() {
		watch.Go(func() { a.compareClocks(ctx) })
	} else {
		watch.Go(func() { a.parts.objects.Run(ctx) })
		watch.Go(func() { a.expireUploads(ctx) })
		a.space.Observe(a.resumeWaiting)
		watch.Go(func() { a.collectWhileFull(ctx) })
		watch.Go(func() { a.watchDisk(ctx) })
	}
	watch.Go(func() { a.parts.engine.Run(ctx) })
	if a.handovers != nil {
		watch.Go(func() { a.handovers.run(ctx) })
	}
	watch.Go(func() { a.space.Run(ctx) })
	if a.spool != nil {
		watch.Go(func() { a.spool.Run(ctx) })
	}
	watch.Go(func() { a.clock.Run(ctx) })
	watch.Go(func() { a.parts.usage.run(ctx) })
	watch.Go(func() { a.trimMemory(ctx) })
	return &watch
}

// announce writes where the service listens, so that other commands on the data
// directory find it. On a full disk that may fail: the service is needed all the more
// then.
func (a *App) announce() error {
	err := a.space.Freeing(func() error { return a.data.announce(a.Endpoint(), a.cfg.Region) })
	if space.IsFull(err) {
		a.log.Error("no room to say where the service listens: commands need --endpoint", "endpoint", a.Endpoint(), logkey.Error, err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("server: announcing the endpoint: %w", err)
	}
	return nil
}

const gracePeriod = 10 * time.Second

func (a *App) serve() error {
	var err error
	if a.tls != nil {
		err = a.http.ServeTLS(a.listener, "", "")
	} else {
		err = a.http.Serve(a.listener)
	}
	return ignore(err, http.ErrServerClosed)
}

// Close closes everything. Run must have returned. If requests did not end,
// everything stays open until the process ends, since they use it.
func (a *App) Close() error {
	if a.stuck {
		return nil
	}
	return a.closers.close()
}

// closers are what must be closed, in reverse order.
type closers struct{ list []func() error }

func (c *closers) add(f func() error) { c.list = append(c.list, f) }

func (c *closers) close() error {
	var errs []error
	for len(c.list) > 0 {
		last := len(c.list) - 1
		errs = append(errs, c.list[last]())
		c.list = c.list[:last]
	}
	return errors.Join(errs...)
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}
