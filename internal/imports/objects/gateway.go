package objects

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
)

// Limits of the gateway.
const (
	maxConnections = 4096
	maxParts       = 10_000  // of a multipart upload, as S3
	maxCopy        = 5 << 30 // bytes of one CopyObject, as S3
	// maxSocketPath is what sockaddr_un holds, with its closing NUL.
	maxSocketPath = 108
)

// Config of a Gateway.
type Config struct {
	Store  *GatewayStore // the caller closes it, after the Gateway
	Keys   iam.AccessKeys
	Region string // of every bucket
	Domain string // with one, bucket.domain addresses a bucket; may be empty
}

// Gateway is the running S3 server, reachable over a private socket only.
type Gateway struct {
	dial    *http.Transport
	dir     string // of the sockets
	workDir string // to go back to
	stop    context.CancelFunc
	done    chan error // closed when the server ended
}

// Start runs the gateway and returns when it answers. ctx bounds only the start.
// While the Gateway runs, the process's working directory is the store's.
func Start(ctx context.Context, cfg Config) (*Gateway, error) {
	workDir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("starting the embedded S3: %w", err)
	}
	dir, err := socketDir()
	if err != nil {
		return nil, fmt.Errorf("starting the embedded S3: %w", err)
	}
	g := &Gateway{dir: dir, workDir: workDir, done: make(chan error, 1)}
	socket := filepath.Join(dir, "s3")
	g.dial = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableCompression: true, // would add a header and change bodies
		// The gateway leaves the end of a chunked aws-chunked body unread, takes it
		// for the next request and answers that. So every request gets a connection
		// of its own.
		DisableKeepAlives:     true,
		ExpectContinueTimeout: 5 * time.Second,
	}
	if err := g.serve(ctx, cfg, socket); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded S3: %w", err), g.Close())
	}
	return g, nil
}

// serve starts the server and waits for it to listen.
func (g *Gateway) serve(ctx context.Context, cfg Config, socket string) error {
	backend, err := posix.New(filepath.Join(cfg.Store.dir, bucketsDir), cfg.Store.meta, posixOptions())
	if err != nil {
		close(g.done)
		return err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = stop
	listening := make(chan struct{})
	config := gatewayConfig(cfg, socket)
	config.IAMService = &iamService{ctx: life, keys: cfg.Keys}
	config.S3Options = []s3api.Option{s3api.WithOnListen(func() { close(listening) })}
	go func() {
		defer close(g.done)
		g.done <- embedgw.RunVersityGW(life, backend, config)
	}()
	select {
	case <-listening:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case err := <-g.done:
		return fmt.Errorf("the gateway ended: %w", err)
	}
}

func posixOptions() posix.PosixOpts {
	options := posix.PosixOpts{
		CopyObjectThreshold: maxCopy, // the zero value refuses every copy
		ValidateBucketNames: true,
		ForceNoObjLockFile:  true, // no second process writes here
	}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	return options
}

func gatewayConfig(cfg Config, socket string) *embedgw.Config {
	return &embedgw.Config{
		// There is no root user: these keys are not stored anywhere.
		RootUserAccess: rand.Text(),
		RootUserSecret: rand.Text(),
		Region:         cfg.Region,
		Ports:          []string{socket},
		// The admin interface gets a socket of its own, so that the S3 one does not
		// serve it.
		AdminPorts:          []string{filepath.Join(filepath.Dir(socket), "admin")},
		SocketPerm:          "0600",
		MaxConnections:      maxConnections,
		MaxRequests:         maxConnections,
		AdminMaxConnections: 1,
		AdminMaxRequests:    1,
		MultipartMaxParts:   maxParts,
		VirtualDomain:       cfg.Domain,
		Quiet:               true,
	}
}

// socketDir makes a private folder whose path leaves room for a socket name.
func socketDir() (string, error) {
	for _, parent := range []string{os.TempDir(), "/tmp"} {
		if len(parent) > maxSocketPath-len("/diskport-0123456789/admin\x00") || !filepath.IsAbs(parent) {
			continue
		}
		return os.MkdirTemp(parent, "diskport-")
	}
	return "", fmt.Errorf("no temporary folder with a path short enough for a socket (%s)", strings.Join([]string{os.TempDir(), "/tmp"}, ", "))
}

// Transport sends requests to the gateway, whatever host their URLs have. It sends
// them as they are; the caller sets the Host header.
func (g *Gateway) Transport() http.RoundTripper { return g.dial }

// Close ends the gateway, waiting up to 10 s for requests in flight, and goes
// back to the former working directory.
func (g *Gateway) Close() error {
	if g.stop != nil {
		g.stop()
	}
	err := <-g.done
	return errors.Join(err, os.RemoveAll(g.dir), os.Chdir(g.workDir))
}
