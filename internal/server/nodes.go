package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/wake"
)

// A service is one node, with everything in its data directory, or one of many nodes,
// which share a database and a block store, and nothing else. The data directory of such
// a node is scratch: whatever is in it can be lost.

// shared reports whether this is one of many nodes.
func (c Config) shared() bool { return c.Database != "" }

// The roles of a node.
const (
	roleAPI    = "api"
	roleWorker = "worker"
)

func (c Config) has(role string) bool { return slices.Contains(c.Roles, role) }

// checkNodes refuses settings that make no sense for one node, or for many. The reasons
// are in docs/adr/0013-many-nodes.md.
func (c Config) checkNodes() error {
	for _, role := range c.Roles {
		if role != roleAPI && role != roleWorker {
			return fmt.Errorf("server: there is no role %q: a node has api, worker, or both", role)
		}
	}
	switch {
	case c.Database != "" && c.Store == "":
		return errors.New("server: --database is for many nodes, and all of them have to find the blocks: name a bucket with --store; or leave out --database, to keep everything in the data directory of one node")
	case c.shared():
		return c.checkShared()
	case !c.has(roleAPI) || !c.has(roleWorker):
		return errors.New("server: a single node needs both roles, api and worker")
	case c.MasterKeyFile != "" || len(c.FormerKeyFiles) > 0:
		return errors.New("server: --master-key-file and --former-master-key-file are for many nodes: a single one has its key in the data directory (docs/backup.md), and replaces it with diskport rotate-key --master")
	case c.ReplaceRootKey:
		return errors.New("server: --replace-root-key is for many nodes: a single one takes the root key that it is given")
	}
	return nil
}

// checkShared refuses settings that many nodes can't work with.
func (c Config) checkShared() error {
	switch {
	case c.MasterKeyFile == "":
		return errors.New("server: many nodes have one master key, which none of them makes: name its file with --master-key-file; head -c 32 /dev/urandom makes one")
	case c.RootAccessKeyID == "":
		return errors.New("server: many nodes have one root access key, which none of them makes: set DISKPORT_ROOT_ACCESS_KEY_ID and DISKPORT_ROOT_SECRET_ACCESS_KEY, the same for all")
	case c.SourceEndpoint == "":
		return errors.New("server: the embedded S3 is for one node, since its objects lie in the data directory: name the S3 that images are imported from with --source-endpoint")
	case c.QuotaObjects != 0 || c.QuotaAllObjects != 0:
		return errors.New("server: --quota-objects and --quota-all-objects are for the embedded S3, which many nodes don't have: leave them out")
	case c.restoring:
		return fmt.Errorf("server: a backup is restored to the data directory of a single node: leave out --database and --store; %w (docs/backup.md)", backup.ErrByItsOwnTools)
	}
	for _, text := range c.AuditLogs {
		if at, err := parseAuditPlace(text); err == nil && at.file == "" && at.embedded {
			return fmt.Errorf("server: --audit-log: %s is a bucket of the embedded S3, which many nodes don't have: say where it is, as in %s?endpoint=URL&region=REGION", text, text)
		}
	}
	return nil
}

// masterKey returns the key that wraps stored secrets, and those that wrapped them before.
func (a *App) masterKey() (*secret.MasterKey, error) {
	if !a.cfg.shared() {
		return a.data.masterKey()
	}
	key, err := readKey("--master-key-file", a.cfg.MasterKeyFile)
	if err != nil {
		return nil, err
	}
	former := make([][]byte, len(a.cfg.FormerKeyFiles))
	for i, path := range a.cfg.FormerKeyFiles {
		if former[i], err = readKey("--former-master-key-file", path); err != nil {
			return nil, err
		}
	}
	return secret.NewMasterKey(key, former...)
}

// readKey reads the file of a master key.
func readKey(flag, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("server: %s: %w", flag, err)
	}
	defer f.Close()
	key, err := io.ReadAll(io.LimitReader(f, secret.KeySize+1))
	if err != nil {
		return nil, fmt.Errorf("server: %s: %w", flag, err)
	}
	if len(key) != secret.KeySize {
		return nil, fmt.Errorf("server: %s: %s must have %d bytes, no line break behind them: head -c %d /dev/urandom makes such a file", flag, path, secret.KeySize, secret.KeySize)
	}
	return key, nil
}

// masterFile says where the master key is, for error texts.
func (a *App) masterFile() string {
	if a.cfg.shared() {
		return a.cfg.MasterKeyFile
	}
	return masterName
}

// openShared opens the database that nodes share. A lease in it is that of a node which
// may be alive, so none expires but by its time.
func openShared(ctx context.Context, a *App) (*metadb.DB, error) {
	db, err := metadb.Open(ctx, a.cfg.Database, metadb.Options{
		Regions: a.cfg.regions, Node: a.owner, Alone: a.cfg.Rebuild,
		Warn: func(what string) { a.log.Warn("opening the database: " + what) },
	})
	if err != nil {
		return nil, fmt.Errorf("server: --database: %w", err)
	}
	a.closers.add(db.Close)
	return db, nil
}

// rootKey makes the root key known, or makes sure that it is the one that the other nodes
// have.
func (a *App) rootKey(ctx context.Context, p *parts) (err error) {
	if !a.cfg.shared() {
		if a.keyID, a.secret, err = a.data.rootKey(a.cfg); err != nil {
			return err
		}
		return p.iam.SetRootKey(ctx, a.cfg.AccountID, a.keyID, a.secret)
	}
	a.keyID, a.secret = a.cfg.givenRootKey()
	if a.cfg.ReplaceRootKey {
		return p.iam.SetRootKey(ctx, a.cfg.AccountID, a.keyID, a.secret)
	}
	err = p.iam.ExpectRootKey(ctx, a.cfg.AccountID, a.keyID, a.secret)
	if other := (*iam.OtherRootKeyError)(nil); errors.As(err, &other) {
		return fmt.Errorf("server: the other nodes have another root access key: give this one the same in DISKPORT_ROOT_ACCESS_KEY_ID and DISKPORT_ROOT_SECRET_ACCESS_KEY; or, to replace it for all, start once with --replace-root-key: %w", err)
	}
	return err
}

// ErrOneNodeAlone reports what a node of many does not do.
var ErrOneNodeAlone = errors.New("server: that is for a single node")

// errNoFormerKey says how the master key of many nodes is replaced.
var errNoFormerKey = errors.New("server: the master key of many nodes is replaced in steps: put a new one beside the present one (--former-master-key-file NEW) on every node; then make it the present one (--master-key-file NEW --former-master-key-file OLD) on every node; then run this again, which wraps everything under the new one (docs/cluster.md)")

// rewrapShared wraps everything anew under the key that --master-key-file names now, and
// none of the former ones is needed for what is in the database after it. Two nodes may do
// so at once.
func (a *App) rewrapShared() []func(context.Context) (int, error) {
	if len(a.cfg.FormerKeyFiles) == 0 {
		return []func(context.Context) (int, error){func(context.Context) (int, error) { return 0, errNoFormerKey }}
	}
	return a.rewrapping()
}

// mayGrow returns nil if more may be stored. The store of many nodes is not on a disk of
// theirs.
func (a *App) mayGrow() error {
	if a.cfg.shared() {
		return nil
	}
	return a.space.Growth()
}

// elsewhere is an importtask.Space of a store that is not on a disk of this machine.
type elsewhere struct{ *space.Guard }

// Growth implements importtask.Space.
func (elsewhere) Growth() error { return nil }

// workerAlone answers requests to a node that has no API: those of an operator's tools, and
// an error for the others, which have lost their way.
func workerAlone(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/-/") && !strings.HasPrefix(r.URL.Path, "/-/v1/") {
			h.ServeHTTP(w, r)
			return
		}
		http.Error(w, "this node has the role worker alone: ask one that has the role api", http.StatusServiceUnavailable)
	})
}

// now returns the time of the database, for what is opened before it.
func (a *App) now() time.Time {
	if db := a.database.Load(); db != nil {
		return db.Now()
	}
	return time.Now()
}

// clockEvery is how often a node compares its clock with that of the database.
const clockEvery = 10 * time.Second

// compareClocks goes by the clock of the database, until ctx ends.
func (a *App) compareClocks(ctx context.Context) {
	off := false
	for range wake.Every(ctx, clockEvery) {
		asking, cancel := context.WithTimeout(ctx, clockEvery)
		ahead, err := a.parts.db.LookAtClock(asking)
		cancel()
		if err != nil {
			continue // whatever else asks the database says so
		}
		a.ahead.Store(int64(ahead))
		if was := off; was != (ahead.Abs() > metadb.MaxSkew) {
			off = !was
			if off {
				a.log.Error("the clock of this machine differs from that of the database, by which the service goes on; requests to other services, which go by this one, may be refused there", "ahead", ahead.String())
			} else {
				a.log.Info("the clock of this machine is right again", "ahead", ahead.String())
			}
		}
	}
}

// watchClocks is the metric of that.
func (a *App) watchClocks(reg prometheus.Registerer) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "diskport_clock_ahead_seconds", Help: "By how much the clock of this machine is ahead of the database's; 0 for an embedded one.",
	}, func() float64 { return time.Duration(a.ahead.Load()).Seconds() }))
}
