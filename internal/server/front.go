package server

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/diskimage/detect"
	"github.com/diskport/diskport/internal/api/adminapi"
	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ebsapi"
	"github.com/diskport/diskport/internal/api/ec2api"
	"github.com/diskport/diskport/internal/api/flow"
	"github.com/diskport/diskport/internal/api/iamapi"
	"github.com/diskport/diskport/internal/api/s3api"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/quota"
)

// front puts one edge for each AWS service behind the front chain.
func (a *App) front(metrics *prometheus.Registry, control *flow.Control) http.Handler {
	p := a.parts
	identities := iamapi.New(iamapi.Options{Service: p.iam, Log: a.log})
	edges := map[string]awshttp.Edge{
		awshttp.EC2: ec2api.New(ec2api.Options{
			Imports: p.imports, Tasks: p.imports, ImageImports: p.imports, ImageTasks: p.imports,
			Snapshots: p.db.Snapshots(), Changes: p.db.Snapshots(), Copies: p.drafts, Defaults: p.db.Snapshots(), Images: p.db.Images(), ImageChanges: p.db.Images(), Volumes: p.db.Volumes(), Tags: p.db.Tags(), Keys: p.ring, Regions: a.cfg.regions,
			Log: a.log, TokenKey: p.tokens, Formats: a.formats(), Throttle: a.throttle(quota.Same), OwnHosts: a.ownHosts(), Source: p.foreignEndpoint(), HoldPoll: a.cfg.HoldPoll,
			FailedStatus: a.cfg.FailedStatus, Strict: a.cfg.StrictAWS, TagSnapshots: a.cfg.TagSnapshots, DeepDryRun: a.cfg.DeepDryRun, Now: p.db.Now,
		}),
		awshttp.EBS: ebsapi.New(ebsapi.Options{
			Snapshots: ebsapi.Library(p.db.Snapshots(), p.library), Drafts: p.drafts, Keys: p.ring, Defaults: p.db.Snapshots(), Log: a.log, TokenKey: p.tokens,
			Throttle: a.blockThrottle(), PerSnapshot: a.snapshotThrottle(), Strict: a.cfg.StrictAWS, Now: p.db.Now,
		}),
		awshttp.IAM: identities,
		awshttp.KMS: p.keys.edge(a),
		awshttp.STS: identities,
		awshttp.S3:  a.frontS3(p),
		awshttp.Diskport: adminapi.New(adminapi.Config{
			Tasks: p.imports, Snapshots: p.db.Snapshots(), Verifier: p.verify, Rebuild: a.rebuild, Measurer: p.measure, Scanner: p.shelf, Keys: p.ring, Collector: p.gc, Compactor: p.compact, Domains: p.ring, RotateMaster: a.RotateMaster, Backup: a.Backup, Usage: p.db.Snapshots(), Log: a.log,
			Accounts: p.iam, Operator: a.cfg.AccountID, Regions: a.cfg.regions, Owns: p.estate().Owns, Stopping: a.stopping, Bus: &p.bus, Now: p.db.Now,
		}),
	}
	h := awshttp.New(awshttp.Options{
		Now: p.db.Now, Edges: edges, Keys: p.iam, Log: a.log, Metrics: metrics, Flow: control, Audit: a.audit, Tracer: a.tracer,
		Regions: a.cfg.regions, AllowSigV2: a.cfg.AllowSigV2, Domain: a.cfg.Domain, Strict: a.cfg.StrictAWS,
		Live:   http.HandlerFunc(alive),
		Ready:  http.HandlerFunc(a.ready),
		Health: http.HandlerFunc(a.health),
		Scrape: newScraper(metrics),
	})
	if !a.cfg.has(roleAPI) {
		return workerAlone(h)
	}
	return h
}

// frontS3 returns the edge of the embedded S3, or one that says where the S3 is.
func (a *App) frontS3(p *parts) awshttp.Edge {
	if p.s3 == nil {
		return s3api.Elsewhere(a.cfg.SourceEndpoint)
	}
	return p.s3
}

// formats are the image formats that a request may name; nil means AWS's.
func (a *App) formats() []string {
	if a.cfg.StrictAWS {
		return nil
	}
	names := detect.Names()
	for i, name := range names {
		names[i] = strings.ToUpper(name)
	}
	return names
}

// burst is how many seconds' worth of requests an account may make at once.
const burst = 5

// throttle limits the requests to a service; rates returns the rate of each action,
// given the configured one.
func (a *App) throttle(rates func(quota.Rate) func(action string) quota.Rate) *quota.Throttle {
	n := float64(a.cfg.RequestRate)
	return quota.New(time.Now, rates(quota.Rate{PerSecond: n, Burst: burst * n}))
}

// blockThrottle limits the requests of EBS direct.
func (a *App) blockThrottle() *quota.Throttle {
	if a.cfg.StrictAWS {
		return quota.New(time.Now, ebsapi.AWSRates(burst))
	}
	return a.throttle(ebsapi.Rates)
}

// snapshotThrottle is there if the service is to be as AWS is: this machine's disk is
// the limit otherwise.
func (a *App) snapshotThrottle() *quota.Throttle {
	if !a.cfg.StrictAWS {
		return nil
	}
	return quota.New(time.Now, ebsapi.AWSSnapshotRates(burst))
}

// ownHosts are the names under which clients may have reached this service.
func (a *App) ownHosts() []string {
	hosts := []string{a.Addr(), a.cfg.Listen}
	if a.cfg.Domain != "" {
		hosts = append(hosts, a.cfg.Domain)
	}
	return hosts
}

func alive(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }

// ready reports whether requests can be answered, that is, whether the database
// answers.
func (a *App) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := a.parts.db.Ready(ctx); err != nil {
		a.log.Error("not ready", logkey.Error, err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	if a.mayGrow() != nil { // it reads and deletes, so it is ready
		_, _ = io.WriteString(w, "ok, but the disk is full: nothing more is stored\n")
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}
