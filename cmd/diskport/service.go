package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/pflag"

	"github.com/diskport/diskport/internal/server"
)

// Defaults of flags that are the service's own.
const (
	defaultAuditEvery    = server.DefaultAuditEvery
	defaultCompactRate   = server.DefaultCompactRate
	defaultScrubInterval = server.DefaultScrubInterval
	defaultScrubRate     = server.DefaultScrubRate
)

// serverConfig turns flags into the configuration of the service.
func (a *app) serverConfig(ctx context.Context, f *serviceFlags) (server.Config, error) {
	data, err := filepath.Abs(a.Data)
	if err != nil {
		return server.Config{}, fmt.Errorf("finding the data directory: %w", err)
	}
	source, sourceErr := keysOf(ctx, envSource, f.SourceEndpoint)
	kms, kmsErr := keysOf(ctx, envKMS, f.KMSEndpoint)
	store, storeErr := keysOf(ctx, envStore, f.storeEndpoint())
	auditKeys, auditErr := keysOf(ctx, envAudit, f.auditEndpoint())
	if err := cmp.Or(sourceErr, kmsErr, storeErr, auditErr); err != nil {
		return server.Config{}, err
	}
	secret, err := f.webhookSecret()
	if err != nil {
		return server.Config{}, err
	}
	traces, err := f.traces()
	if err != nil {
		return server.Config{}, err
	}
	every, rate := f.scrub()
	return server.Config{
		ScrubInterval:       every,
		ScrubRate:           rate,
		SourceEndpoint:      f.SourceEndpoint,
		SourceSTS:           f.SourceSTS,
		SourceRegion:        f.SourceRegion,
		SourceCredentials:   source,
		KMSEndpoint:         f.KMSEndpoint,
		KMSCredentials:      kms,
		KMSAllow:            f.KMSAllow,
		Listen:              f.Listen,
		Data:                data,
		Database:            f.Database,
		Store:               f.Store,
		StoreCredentials:    store,
		MasterKeyFile:       f.MasterKeyFile,
		FormerKeyFiles:      f.FormerKeyFiles,
		ReplaceRootKey:      f.ReplaceRootKey,
		Region:              a.ownRegion(),
		Regions:             f.Regions,
		AccountID:           f.AccountID,
		RootAccessKeyID:     os.Getenv(envRootKeyID),
		RootSecretAccessKey: os.Getenv(envRootSecret),
		Roles:               f.Roles,
		TLSCert:             f.TLSCert,
		TLSKey:              f.TLSKey,
		AuditLogs:           f.AuditLogs,
		AuditEvery:          f.AuditEvery,
		AuditCredentials:    auditKeys,
		Webhook:             f.Webhook,
		WebhookSecret:       secret,
		Traces:              server.Traces(traces),
		Domain:              f.Domain,
		StrictAWS:           f.StrictAWS,
		FailedStatus:        f.FailedStatus,
		HoldPoll:            f.HoldPoll,
		AllowSigV2:          f.AllowSigV2,
		QuotaImports:        f.QuotaImports,
		QuotaObjects:        int64(f.QuotaObjects),
		QuotaAllObjects:     int64(f.QuotaAllObjects),
		QuotaScratch:        int64(f.QuotaScratch),
		RequestRate:         f.RequestRate,
		TagSnapshots:        f.TagSnapshots,
		DeepDryRun:          f.DeepDryRun,
		Reserve:             int64(f.Reserve),
		CompactRate:         f.compactRate(),
		AcceptOlderDatabase: f.AcceptOlderDatabase,
		Rebuild:             f.Rebuild,
		RangeBytes:          f.RangeBytes,
		SlicePages:          f.SlicePages,
		Logger:              f.logger(a.stderr),
	}, nil
}

// startError says why a service did not start. It is shown whole: what another service has
// answered is only a part of it.
type startError struct{ error }

func (e *startError) Unwrap() error { return e.error }

// busyError says that something runs on the data directory.
type busyError struct {
	error
	holder  string // "process 4711"
	command bool   // it is a command, which will end
}

func (e *busyError) Unwrap() error { return e.error }

// localService is a service inside this process.
type localService struct {
	*server.App
	stop context.CancelFunc
	done chan error
}

// newLocalService starts the service on the data directory for one command, at
// a free port of the loopback interface. It outlives ctx, so that an
// interrupted command can still cancel what it began; close ends it.
func (a *app) newLocalService(ctx context.Context, change ...func(*serviceFlags)) (*localService, error) {
	f, err := a.localFlags()
	if err != nil {
		return nil, err
	}
	for _, c := range change {
		c(f)
	}
	cfg, err := a.serverConfig(ctx, f)
	if err != nil {
		return nil, err
	}
	cfg.Command = true
	// To a command --region says where to look; the service's own region stays.
	cfg.Region = cmp.Or(a.dataFile("region"), cfg.Region)
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	srv, err := server.New(ctx, cfg)
	if err != nil {
		stop()
		var locked *server.LockedError
		if errors.As(err, &locked) {
			return nil, &busyError{err, locked.Holder, locked.Command}
		}
		return nil, &startError{err}
	}
	local := &localService{App: srv, stop: stop, done: make(chan error, 1)}
	go func() { local.done <- srv.Run(ctx) }()
	return local, nil
}

// localFlags returns the settings of an in-process service: those of the
// configuration file and the environment, but quiet and on a port of its own.
func (a *app) localFlags() (*serviceFlags, error) {
	f := &serviceFlags{}
	fs := pflag.NewFlagSet("service", pflag.ContinueOnError)
	f.declare(fs)
	if err := errors.Join(fromEnvironment(fs), a.file.apply(fs), f.validate()); err != nil {
		return nil, &usageError{err}
	}
	f.LogFormat, f.LogLevel = "text", slog.LevelError
	f.Listen, f.TLSCert, f.TLSKey = "127.0.0.1:0", "", ""
	f.noTraces = true                     // a receiver that is down must not keep a command
	f.CompactRate, f.ScrubInterval = 0, 0 // they would not come far, and slow the command down
	return f, nil
}

// close ends the service and waits for it.
func (l *localService) close() error {
	l.stop()
	err := <-l.done
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, l.Close())
}

// restoration is what restore is asked for.
type restoration struct {
	place       string
	credentials aws.CredentialsProvider
	at          time.Time
	master      string // file
	partial     bool
	unproven    bool
	rate        int64 // bytes a second; 0 is no limit
	progress    func(done, total int64)
}

// restored is what a restoration did.
type restored struct {
	At         time.Time      `json:"at"`
	Files      int64          `json:"files"`
	Bytes      int64          `json:"bytes"`
	Before     []string       `json:"damagedBefore,omitempty"`
	Lost       []string       `json:"lost,omitempty"`
	Snapshots  []lostSnapshot `json:"lostSnapshots,omitempty"`
	NewRootKey bool           `json:"newRootKey"`
}

type lostSnapshot struct {
	ID      string `json:"id"`
	Account string `json:"account"`
	Region  string `json:"region"`
	Why     string `json:"why"`
}

// restore makes the data directory of a backup. No service may run on it, so this is not
// asked of one.
func (a *app) restore(ctx context.Context, r restoration) (restored, error) {
	f, err := a.localFlags()
	if err != nil {
		return restored{}, err
	}
	cfg, err := a.serverConfig(ctx, f)
	if err != nil {
		return restored{}, err
	}
	done, err := server.Restore(ctx, cfg, server.RestoreConfig{
		Place: r.place, Credentials: r.credentials, At: r.at, Master: r.master, Partial: r.partial, Unproven: r.unproven, Rate: r.rate, Progress: r.progress,
	})
	out := restored{done.At, done.Files, done.Bytes, done.Before, done.Lost, nil, done.NewRootKey}
	for _, s := range done.Snapshots {
		out.Snapshots = append(out.Snapshots, lostSnapshot(s))
	}
	return out, err
}

// backupMade is one backup of a place.
type backupMade struct {
	At     time.Time `json:"at"`
	Files  int64     `json:"files"`
	Bytes  int64     `json:"bytes"`
	Damage string    `json:"damage,omitempty"` // of its manifest
	Before int64     `json:"damagedFiles,omitempty"`
}

// backups lists the backups of a place, the oldest first.
func (a *app) backups(ctx context.Context, place string, creds aws.CredentialsProvider) ([]backupMade, error) {
	found, err := server.Backups(ctx, place, creds)
	list := make([]backupMade, len(found))
	for i, b := range found {
		list[i] = backupMade{b.At, b.Files, b.Bytes, b.Damage, b.Before}
	}
	return list, err
}
