package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/kmsapi"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blobs3"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/keyring"
)

// The database, the block store, the source and the keys are each chosen by the
// scheme of a URL, from these tables. Nothing else in this package names a
// database, a back end, an S3 or a KMS.
var (
	databases = map[string]func(context.Context, *App) (*metadb.DB, error){
		embedded:     openSQLite,
		"postgres":   openShared,
		"postgresql": openShared,
	}
	blockStores = map[string]func(context.Context, *App, prometheus.Registerer) (blockBackend, error){
		embedded: openBlockDirectory,
		"s3":     openBucket,
	}
	sources = map[string]func(*App, *secret.MasterKey) (*source.ForeignS3, error){
		embedded: func(*App, *secret.MasterKey) (*source.ForeignS3, error) { return nil, nil }, //nolint:nilnil // there is none, and that is no error
		"aws":    foreignS3,
		"http":   foreignS3,
		"https":  foreignS3,
	}
	keyServices = map[string]keyService{
		embedded: {embeddedKMS, func(a *App) awshttp.Edge { return kmsapi.New(kmsapi.Options{Service: a.parts.kms, Log: a.log}) }},
		"aws":    {awsKMS, kmsElsewhere},
		"http":   {externalKMS, kmsElsewhere},
		"https":  {externalKMS, kmsElsewhere},
	}
)

// embedded is the scheme of the embedded part, which is used when there is no URL.
const embedded = ""

// choose returns the row of a table for the URL that a flag gave.
func choose[T any](table map[string]T, flag, url string) (row T, err error) {
	scheme := url
	if i := strings.Index(url, "://"); i >= 0 {
		scheme = url[:i]
	}
	row, ok := table[scheme]
	if ok {
		return row, nil
	}
	known := slices.DeleteFunc(slices.Sorted(maps.Keys(table)), func(s string) bool { return s == embedded })
	if len(known) == 0 {
		return row, fmt.Errorf("server: %s takes no %q yet: leave it out to use what is in the data directory", flag, scheme)
	}
	return row, fmt.Errorf("server: %s takes no %q: give a URL of %s, or leave it out to use what is embedded", flag, scheme, strings.Join(known, ", "))
}

// chosen checks all choices before anything is opened.
func (c Config) chosen() error {
	_, database := choose(databases, "--database", c.Database)
	_, store := choose(blockStores, "--store", c.Store)
	if store == nil {
		store = c.checkStore()
	}
	_, from := choose(sources, "--source-endpoint", c.SourceEndpoint)
	_, keys := choose(keyServices, "--kms-endpoint", c.KMSEndpoint)
	var allowed []error
	for _, text := range c.KMSAllow {
		_, err := keyring.ParseAllowance(text)
		allowed = append(allowed, err)
	}
	for _, err := range append([]error{database, store, from, keys}, allowed...) {
		if err != nil {
			return err
		}
	}
	return nil
}

// databaseName is the file of the embedded database in the data directory, witnessName that of
// its witness.
const (
	databaseName = "metadata.db"
	witnessName  = "commits"
)

// allowances are who may use keys that are not theirs; chosen has checked them.
func (c Config) allowances() (list []keyring.Allowance) {
	for _, text := range c.KMSAllow {
		if a, err := keyring.ParseAllowance(text); err == nil {
			list = append(list, a)
		}
	}
	return list
}

// openSQLite opens the database in the data directory. One process uses it, so
// whoever holds a lease in it is dead.
func openSQLite(ctx context.Context, a *App) (*metadb.DB, error) {
	var db *metadb.DB
	err := a.space.Freeing(func() (err error) {
		db, err = metadb.Open(ctx, a.data.file(databaseName), metadb.Options{
			Now: time.Now, Regions: a.cfg.regions, Witness: a.data.file(witnessName), AcceptOlder: a.cfg.AcceptOlderDatabase, Room: a.space,
			Warn: func(what string) { a.log.Warn("opening the database: " + what) },
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	a.closers.add(db.Close)
	return db, db.Work().ExpireAll(ctx)
}

// blockBackend is all that the service needs of a back end.
type blockBackend interface {
	blockstore.Backend
	blockstore.Identified
	blockstore.Quarantine
	blockstore.Aside
	fmt.Stringer // names it to people
	room
}

type room interface {
	// Free returns how many bytes the back end can still take.
	Free() (int64, error)
}

func openBlockDirectory(_ context.Context, a *App, _ prometheus.Registerer) (blockBackend, error) {
	var dir *blobdir.Dir
	err := a.space.Freeing(func() (err error) { // it writes, to find out what the file system can do
		dir, err = blobdir.New(a.data.file("blocks"))
		return err
	})
	if err != nil {
		return nil, err
	}
	a.closers.add(dir.Close)
	return dir, nil
}

// checkStore checks the URL of a bucket.
func (c Config) checkStore() error {
	if !strings.HasPrefix(c.Store, "s3://") {
		return nil
	}
	if _, err := backup.ParsePlace(c.Store); err != nil {
		return fmt.Errorf("server: --store: %w", err)
	}
	if c.StoreCredentials == nil {
		return errors.New("server: a block store in S3 needs credentials")
	}
	return nil
}

// openBucket opens a prefix in a bucket, and makes sure that no file can be lost there.
func openBucket(ctx context.Context, a *App, metrics prometheus.Registerer) (blockBackend, error) {
	at, err := backup.ParsePlace(a.cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("server: --store: %w", err)
	}
	b := blobs3.New(blobs3.Options{
		Endpoint: at.Endpoint, Region: at.Region, Bucket: at.Bucket, Prefix: at.Prefix, Credentials: a.cfg.StoreCredentials,
		Metrics: blobs3.NewMetrics(metrics), Now: a.now,
	})
	a.closers.add(b.Close)
	a.trims = append(a.trims, b.Trim)
	parts := func(name, help string, of func() int) prometheus.Collector {
		return countGauge("bucket_"+name, help, of)
	}
	metrics.MustRegister(
		parts("parts", "Parts that the memory for uploads to the block store has room for.", func() int { room, _ := b.Buffers(); return room }),
		parts("parts_in_use", "Parts that are in it.", func() int { _, used := b.Buffers(); return used }),
	)
	if err := b.Probe(ctx); err != nil {
		return nil, fmt.Errorf("server: --store: %w", err)
	}
	return b, nil
}

// noSTS is the STS endpoint of an S3 that has none.
const noSTS = "none"

func foreignS3(a *App, master *secret.MasterKey) (*source.ForeignS3, error) {
	at, err := source.ParseEndpoint(a.cfg.SourceEndpoint)
	if err != nil {
		return nil, err
	}
	o := source.ForeignOptions{
		Endpoint: at, Region: a.cfg.SourceRegion, Credentials: a.cfg.SourceCredentials, Secrets: master.For(secret.URLs),
		Direct: a.cfg.SourceSTS == noSTS, Operator: a.cfg.AccountID,
	}
	if !o.Direct {
		if o.STS, err = source.ParseEndpoint(a.cfg.SourceSTS); err != nil {
			return nil, err
		}
	}
	return source.NewForeignS3(o), nil
}

// keyService is where keys live, and the edge that clients of KMS meet.
type keyService struct {
	keys func(*App, *kms.Service) keyring.KMS
	edge func(*App) awshttp.Edge
}

func embeddedKMS(_ *App, s *kms.Service) keyring.KMS { return keyring.Embedded{Service: s} }

func externalKMS(a *App, _ *kms.Service) keyring.KMS { return a.kmsAt(a.cfg.KMSEndpoint) }

// awsKMS is AWS's own, where the SDK knows it.
func awsKMS(a *App, _ *kms.Service) keyring.KMS { return a.kmsAt("") }

func (a *App) kmsAt(endpoint string) keyring.KMS {
	return keyring.NewExternal(keyring.ExternalOptions{
		Config: aws.Config{Credentials: a.cfg.KMSCredentials}, Endpoint: endpoint,
		Operator: a.cfg.AccountID, Allowed: a.cfg.allowances(),
	})
}

func kmsElsewhere(a *App) awshttp.Edge { return kmsapi.Elsewhere(a.cfg.KMSEndpoint) }
