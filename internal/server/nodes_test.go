package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/adminapi"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/metadb/pgtest"
	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/work"
)

// postgres is set by TestMain, for all tests of this process.
var postgres *pgtest.Server

func TestMain(m *testing.M) {
	// Nodes of one process can share a directory, as others share an S3.
	blockStores["dir"] = func(_ context.Context, a *App, _ prometheus.Registerer) (blockBackend, error) {
		u, err := url.Parse(a.cfg.Store)
		if err != nil {
			return nil, err
		}
		dir, err := blobdir.New(u.Path)
		if err == nil {
			a.closers.add(dir.Close)
		}
		return dir, err
	}
	pgtest.Main(m, func(s *pgtest.Server) { postgres = s })
}

var anyKeys = credentials.NewStaticCredentialsProvider("id", "secret", "")

// keyFile makes the file of a master key.
func keyFile(t *testing.T, b byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key-"+string('a'+rune(b)))
	check(t, os.WriteFile(path, bytes.Repeat([]byte{b}, 32), 0o600))
	return path
}

// cluster returns what makes the configurations of nodes that share a new database and
// store.
func cluster(t *testing.T) (node func(...func(*Config)) Config) {
	t.Helper()
	dsn, store, key := postgres.New(t), "dir://"+t.TempDir(), keyFile(t, 1)
	return func(changes ...func(*Config)) Config {
		c := config(t.TempDir())
		c.Database, c.Store, c.MasterKeyFile = dsn, store, key
		c.SourceEndpoint, c.SourceCredentials = "https://s3.example.com", anyKeys
		for _, change := range changes {
			change(&c)
		}
		return c
	}
}

// TestRefusedNodes: settings that make no sense for one node, or for many, are refused
// before anything is opened, with what to do.
func TestRefusedNodes(t *testing.T) {
	many := func(c *Config) {
		c.Database, c.Store, c.MasterKeyFile = "postgres://nowhere/d", "dir:///nowhere", "/nowhere/key"
		c.SourceEndpoint, c.SourceCredentials = "https://s3.example.com", anyKeys
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no role of that name", func(c *Config) { c.Roles = []string{"api", "master"} }, `no role "master"`},
		{"a database without a store", func(c *Config) { c.Database = "postgres://nowhere/d" }, "name a bucket with --store"},
		{"one node with a key file", func(c *Config) { c.MasterKeyFile = "key" }, "are for many nodes"},
		{"one node with a former key", func(c *Config) { c.FormerKeyFiles = []string{"key"} }, "rotate-key --master"},
		{"one node that replaces the root key", func(c *Config) { c.ReplaceRootKey = true }, "--replace-root-key is for many nodes"},
		{"no master key", func(c *Config) { many(c); c.MasterKeyFile = "" }, "head -c 32 /dev/urandom"},
		{"no root key", func(c *Config) { many(c); c.RootAccessKeyID, c.RootSecretAccessKey = "", "" }, "DISKPORT_ROOT_SECRET_ACCESS_KEY"},
		{"no source", func(c *Config) { many(c); c.SourceEndpoint = "" }, "--source-endpoint"},
		{"a quota of objects", func(c *Config) { many(c); c.QuotaObjects = 1 }, "--quota-objects"},
		{"an audit log in the embedded S3", func(c *Config) { many(c); c.AuditLogs = []string{"s3://trail/x"} }, "?endpoint=URL"},
		{"a restoration", func(c *Config) { many(c); c.restoring = true }, "docs/backup.md"},
	} {
		t.Run(tt.name, func(t *testing.T) { refuses(t, tt.change, tt.want) })
	}
}

// TestMasterKeyFiles: a file that is no key is named, with what a key is.
func TestMasterKeyFiles(t *testing.T) {
	node := cluster(t)
	write := func(n int) string {
		path := filepath.Join(t.TempDir(), "file")
		check(t, os.WriteFile(path, make([]byte, n), 0o600))
		return path
	}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"none", func(c *Config) { c.MasterKeyFile = "/nowhere/key" }, []string{"--master-key-file", "/nowhere/key"}},
		{"short", func(c *Config) { c.MasterKeyFile = write(31) }, []string{"--master-key-file", "32 bytes"}},
		{"with a line break", func(c *Config) { c.MasterKeyFile = write(33) }, []string{"no line break"}},
		{"a former one", func(c *Config) { c.FormerKeyFiles = []string{write(3)} }, []string{"--former-master-key-file", "32 bytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) { refused(t, node(tt.change), tt.want...) })
	}
}

// refused checks that a node does not start, and says why.
func refused(t *testing.T, cfg Config, want ...string) error {
	t.Helper()
	a, err := New(t.Context(), cfg)
	if err == nil {
		check(t, a.Close())
		t.Errorf("it started, want an error that says %q", want)
		return nil
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	return err
}

// status asks a node for something without a signature.
func (s *service) status(t *testing.T, path string) (int, string) {
	t.Helper()
	return answer(t, s.request(t, "", http.MethodGet, path, "", nil))
}

// TestNodesOfOneService: what one node is told the other knows, whatever their roles are;
// neither keeps anything that must not be lost.
func TestNodesOfOneService(t *testing.T) {
	node := cluster(t)
	first := run(t, node(func(c *Config) { c.Roles = []string{"api"} }))
	worker := run(t, node(func(c *Config) { c.Roles = []string{"worker"} }))
	x := fill(t, first)
	second := run(t, node())
	x.opens(t, second)
	for _, s := range []*service{first, second} {
		code, body := answer(t, s.request(t, "s3", http.MethodPut, "/bucket", "", nil))
		if code != http.StatusNotImplemented || !strings.Contains(body, "<Code>NotImplemented</Code>") || !strings.Contains(body, "https://s3.example.com") {
			t.Errorf("a request to the embedded S3: %d %s", code, body)
		}
	}
	for path, want := range map[string]int{"/-/live": 200, "/-/ready": 200, "/-/health": 200, "/-/metrics": 200, "/-/v1/usage": 503, "/": 503} {
		if code, body := worker.status(t, path); code != want || want != 200 && !strings.Contains(body, "role worker alone") {
			t.Errorf("a worker's %s: %d %s", path, code, body)
		}
	}
	_, metrics := first.status(t, "/-/metrics")
	if !strings.Contains(metrics, "diskport_clock_ahead_seconds ") || strings.Contains(metrics, "diskport_objects_bytes") {
		t.Error("the metrics are not those of one of many nodes")
	}
	for _, name := range []string{masterName, credentialsName, databaseName, "blocks", "objects", "ballast", "commits"} {
		if _, err := os.Stat(first.data.file(name)); !os.IsNotExist(err) {
			t.Errorf("%s is in the data directory: %v", name, err)
		}
	}
}

// TestOtherKeysThanTheNodesHave: a node with another master key or root key than the
// others have, or with another store, is refused by name, and changes nothing.
func TestOtherKeysThanTheNodesHave(t *testing.T) {
	node := cluster(t)
	first := run(t, node())
	x := fill(t, first)
	other := keyFile(t, 2)
	refused(t, node(func(c *Config) { c.MasterKeyFile = other }), other, "page key")
	err := refused(t, node(func(c *Config) { c.RootSecretAccessKey = "another" }), "DISKPORT_ROOT_SECRET_ACCESS_KEY", "--replace-root-key")
	if _, ok := errors.AsType[*iam.OtherRootKeyError](err); !ok {
		t.Errorf("%v", err)
	}
	refused(t, node(func(c *Config) { c.RootAccessKeyID = "AKIAOTHER" }), "AKIAROOT", "AKIAOTHER")
	elsewhere := "dir://" + t.TempDir()
	owner, err := blobdir.New(strings.TrimPrefix(elsewhere, "dir://"))
	check(t, err)
	_, err = owner.SetIdentity(t.Context(), strings.Repeat("ab", 16))
	check(t, errors.Join(err, owner.Close()))
	if err := refused(t, node(func(c *Config) { c.Store = elsewhere })); !errors.Is(err, blockstore.ErrNotOurs) {
		t.Errorf("another's store: %v", err)
	}
	x.opens(t, first)
	replaced := run(t, node(func(c *Config) { c.RootSecretAccessKey, c.ReplaceRootKey = "another", true }))
	if _, secret, err := first.parts.iam.Lookup(t.Context(), "AKIAROOT", ""); err != nil || !secret.Equal(sigv4.NewSecret("another")) {
		t.Errorf("the first node does not know the new root key: %v", err)
	}
	x.opens(t, replaced)
}

// TestTheMasterKeyOfManyNodes is replaced in steps, during which nodes of both settings
// work.
func TestTheMasterKeyOfManyNodes(t *testing.T) {
	node := cluster(t)
	next := keyFile(t, 2)
	old := node().MasterKeyFile
	first := run(t, node())
	x := fill(t, first)
	if _, err := first.RotateMaster(t.Context()); !errors.Is(err, errNoFormerKey) {
		t.Errorf("without a new key: %v", err)
	}
	first.end(t)
	both := run(t, node(func(c *Config) { c.FormerKeyFiles = []string{next} }))
	changed := run(t, node(func(c *Config) { c.MasterKeyFile, c.FormerKeyFiles = next, []string{old} }))
	x.opens(t, both)
	x.opens(t, changed)
	n, err := changed.RotateMaster(t.Context())
	if err != nil || n == 0 {
		t.Fatalf("wrapped %d secrets, %v", n, err)
	}
	x.opens(t, both)
	later := fill(t, both) // under the old key, as long as that node has it as its own
	later.opens(t, changed)
	both.end(t)
	if _, err := changed.RotateMaster(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused(t, node(), old)
	alone := run(t, node(func(c *Config) { c.MasterKeyFile = next }))
	if _, err := alone.parts.ring.Keys(t.Context(), x.domain); err != nil {
		t.Errorf("without the old key: %v", err)
	}
	if _, err := alone.parts.ring.Keys(t.Context(), later.domain); err != nil {
		t.Errorf("what was wrapped while keys were replaced: %v", err)
	}
}

// TestAStartLeavesOtherNodesAlone: their leases hold, and duties have one unit however
// many nodes there are.
func TestAStartLeavesOtherNodesAlone(t *testing.T) {
	node := cluster(t)
	api := func(c *Config) { c.Roles = []string{"api"} }
	first := run(t, node(api))
	store := first.parts.db.Work()
	held, ok, err := store.Claim(t.Context(), work.Claimer{Owner: "a node that works", Kinds: []work.Kind{work.GC}}, first.parts.db.Now())
	if err != nil || !ok {
		t.Fatalf("claiming: %v, %v", ok, err)
	}
	run(t, node(api))
	if _, err := store.Renew(t.Context(), held, first.parts.db.Now(), work.Progress{}); err != nil {
		t.Errorf("the lease was lost to a node that started: %v", err)
	}
	queues, err := store.Queues(t.Context(), first.parts.db.Now())
	check(t, err)
	for _, q := range queues {
		if q.Due+q.Later+q.Leased != 1 {
			t.Errorf("%s has %d units", q.Kind, q.Due+q.Later+q.Leased)
		}
	}
}

// TestWhatOneNodeOfManyDoesNotDo says why, and what to do instead.
func TestWhatOneNodeOfManyDoesNotDo(t *testing.T) {
	s := run(t, cluster(t)())
	if _, err := s.Backup(t.Context(), adminapi.BackupRequest{Place: t.TempDir()}, nil); !errors.Is(err, backup.ErrByItsOwnTools) {
		t.Errorf("a backup: %v", err)
	}
	f, err := os.Open("nodes_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Handover(f, "disk.raw"); !errors.Is(err, ErrOneNodeAlone) {
		t.Errorf("a file of this machine: %v", err)
	}
	if _, err := s.rebuild(t.Context(), verify.Observer{}); !errors.Is(err, ErrOneNodeAlone) || !strings.Contains(err.Error(), "stop all nodes") {
		t.Errorf("a rebuild: %v", err)
	}
}

// TestLanesHaveHandlers: a duty that is off here may have a unit, of another node's.
func TestLanesHaveHandlers(t *testing.T) {
	handlers := (&importtask.Engine{}).Handlers()
	for _, lane := range handled(lanes, handlers) {
		if len(lane) == 0 || slices.ContainsFunc(lane, func(k work.Kind) bool { return handlers[k].Do == nil }) {
			t.Errorf("a lane takes %q", lane)
		}
	}
}
