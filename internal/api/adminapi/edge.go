package adminapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/identity/sigv4"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/backup"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/footprint"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/wake"
)

// Tasks reads import tasks of both kinds. Counts include work in flight.
type Tasks interface {
	Task(ctx context.Context, home awsid.Home, id string) (importtask.Task, error)
	Tasks(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) ([]importtask.Task, error)
	ImageTask(ctx context.Context, home awsid.Home, id string) (importtask.ImageTask, error)
	ImageTasks(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) ([]importtask.ImageTask, error)
}

// Snapshots reads snapshot records.
type Snapshots interface {
	Get(ctx context.Context, region, id string) (snapshot.Record, error)
	List(ctx context.Context, home awsid.Home, f snapshot.Filter, after listing.Place, limit int) ([]snapshot.Record, error)
}

// Measurer says what a snapshot takes of the store. footprint.Measurer implements it.
type Measurer interface {
	Measure(ctx context.Context, rec snapshot.Record, progress func(done, total int64)) (footprint.Footprint, error)
}

// Collector frees what nothing references. gc.Collector implements it.
type Collector interface {
	Run(ctx context.Context) (gc.Report, error)
}

// Compactor rewrites packs, so that space comes back. compact.Compactor implements it.
type Compactor interface {
	Run(ctx context.Context, e compact.Effort, progress func(compact.Progress)) (compact.Report, error)
	Plan(ctx context.Context, e compact.Effort) (compact.Plan, error)
	Rotate(ctx context.Context, domain string, rate int64, progress func(compact.Progress)) (compact.Rotated, error)
}

// Usage says what the store holds and takes.
type Usage interface {
	Usage(ctx context.Context) (snapshot.Usage, error)
}

// Accounts makes and removes accounts. iam.Service implements it.
type Accounts interface {
	Accounts(ctx context.Context) ([]iam.Account, error)
	AddAccount(ctx context.Context, id string) (iam.Account, sigv4.Secret, error)
	RemoveAccount(ctx context.Context, id string, owns func(ctx context.Context, account string) (what string, err error)) error
}

// Config is the parts and settings of an Edge.
type Config struct {
	Tasks     Tasks
	Snapshots Snapshots
	Verifier  Verifier
	// Rebuild enters what the store has and the database does not know.
	Rebuild   func(ctx context.Context, o verify.Observer) (verify.Rebuilt, error)
	Measurer  Measurer
	Scanner   Scanner
	Keys      Keys
	Collector Collector
	Compactor Compactor
	Domains   Domains
	// RotateMaster replaces the master key of the service, and returns how many secrets were
	// wrapped under the new one.
	RotateMaster func(ctx context.Context) (int, error)
	// Backup makes a backup of the service.
	Backup   func(ctx context.Context, q BackupRequest, progress func(done, total int64)) (backup.Report, error)
	Usage    Usage
	Accounts Accounts
	Regions  awsid.Regions // that the service plays
	// Operator is the service's own account, which may manage the others.
	Operator string
	// Owns says what an account has besides identities ("3 snapshots"), or "".
	Owns func(ctx context.Context, account string) (what string, err error)
	// Authorize returns an error unless the caller may do the action
	// ("diskport:ListTasks") to the resources (ARNs, or "*"). Nil means what Call
	// has.
	Authorize func(ctx context.Context, c *awshttp.Call, action string, with policy.Context, resources ...string) error
	Log       *slog.Logger
	Now       func() time.Time
	// Poll is how often an event stream looks for a change; 0 means 100 ms. While there is
	// none it looks less and less often.
	Poll time.Duration
	// Bus wakes streams when something happens to a task; nil: they look by themselves alone.
	Bus *wake.Bus
	// Stopping is closed when the service stops: streams end then, and their
	// clients ask again. Nil: it never stops.
	Stopping <-chan struct{}
}

// Edge serves /-/v1/. Its methods may be called concurrently.
type Edge struct {
	Config
	mux *http.ServeMux
}

var _ awshttp.Edge = (*Edge)(nil)

// route is a request that the edge answers: its pattern, the action that a policy
// must allow, its handler, and the callers that it is for.
type route struct {
	pattern string
	action  string
	handle  func(*Edge, *request) error
	readers audience
}

// audience is the callers that a request is for.
type audience int

const (
	anyone   audience = iota // all whose policies allow it
	operator                 // of these, callers of the operator's account
)

// routes are all requests. A handler returns an error to be answered, or nil when
// it has answered itself.
var routes = []route{
	{"GET /-/v1/tasks", "diskport:ListTasks", (*Edge).listTasks, anyone},
	{"GET /-/v1/tasks/{id}", "diskport:GetTask", (*Edge).getTask, anyone},
	{"GET /-/v1/tasks/{id}/events", "diskport:GetTask", (*Edge).watchTask, anyone},
	{"GET /-/v1/image-tasks", "diskport:ListTasks", (*Edge).listImageTasks, anyone},
	{"GET /-/v1/image-tasks/{id}", "diskport:GetTask", (*Edge).getImageTask, anyone},
	{"GET /-/v1/image-tasks/{id}/events", "diskport:GetTask", (*Edge).watchImageTask, anyone},
	{"GET /-/v1/snapshots", "diskport:ListSnapshots", (*Edge).listSnapshots, anyone},
	{"GET /-/v1/snapshots/{id}", "diskport:GetSnapshot", (*Edge).getSnapshot, anyone},
	{"GET /-/v1/snapshots/{id}/data", "ebs:GetSnapshotBlock", (*Edge).streamData, anyone},
	{"POST /-/v1/snapshots/{id}/verify", "diskport:VerifySnapshot", (*Edge).verifySnapshot, anyone},
	{"GET /-/v1/snapshots/{id}/sizes", "diskport:MeasureSnapshot", (*Edge).measureSnapshot, anyone},
	{"GET /-/v1/regions", "diskport:ListRegions", (*Edge).listRegions, anyone},
	{"POST /-/v1/verify", "diskport:VerifyStore", (*Edge).verifyStore, operator},
	{"POST /-/v1/repair", "diskport:RepairStore", (*Edge).repairStore, operator},
	{"POST /-/v1/rebuild", "diskport:RebuildDatabase", (*Edge).rebuild, operator},
	{"POST /-/v1/gc", "diskport:CollectGarbage", (*Edge).collect, operator},
	{"GET /-/v1/stats", "diskport:GetStats", (*Edge).stats, operator},
	{"GET /-/v1/compact", "diskport:PlanCompaction", (*Edge).planCompaction, operator},
	{"POST /-/v1/compact", "diskport:Compact", (*Edge).compact, operator},
	{"GET /-/v1/domains", "diskport:ListDomains", (*Edge).listDomains, operator},
	{"POST /-/v1/domains/rotate", "diskport:RotateDataKeys", (*Edge).rotateDomains, operator},
	{"POST /-/v1/master-key/rotate", "diskport:RotateMasterKey", (*Edge).rotateMaster, operator},
	{"POST /-/v1/backup", "diskport:Backup", (*Edge).backup, operator},
	{"GET /-/v1/accounts", "diskport:ListAccounts", (*Edge).listAccounts, operator},
	{"POST /-/v1/accounts", "diskport:AddAccount", (*Edge).addAccount, operator},
	{"POST /-/v1/accounts/{id}", "diskport:AddAccount", (*Edge).addAccount, operator},
	{"DELETE /-/v1/accounts/{id}", "diskport:RemoveAccount", (*Edge).removeAccount, operator},
}

// New returns the edge for cfg.
func New(cfg Config) *Edge {
	if cfg.Poll == 0 {
		cfg.Poll = 100 * time.Millisecond
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Bus == nil {
		cfg.Bus = &wake.Bus{}
	}
	if cfg.Authorize == nil {
		cfg.Authorize = func(ctx context.Context, c *awshttp.Call, action string, with policy.Context, resources ...string) error {
			return c.Authorize(ctx, action, with, resources...)
		}
	}
	e := &Edge{Config: cfg, mux: http.NewServeMux()}
	for _, rt := range routes {
		e.mux.HandleFunc(rt.pattern, func(w http.ResponseWriter, r *http.Request) { e.serve(rt, w, r) })
	}
	e.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &failure{http.StatusNotFound, "NoSuchPath", "there is nothing at " + r.Method + " " + r.URL.Path})
	})
	return e
}

// request is one request on its way through a handler.
type request struct {
	*http.Request
	w    http.ResponseWriter
	call *awshttp.Call
}

type callKey struct{}

// ServeAWS answers a request that the front chain let through.
func (e *Edge) ServeAWS(w http.ResponseWriter, r *http.Request, c *awshttp.Call) {
	e.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

// resource is the ARN of the task or snapshot that a request is about, or "*", and
// what policies may ask about it: the tags of the account's own.
func (e *Edge) resource(r *http.Request, c *awshttp.Call) (arn string, with policy.Context, err error) {
	id := r.PathValue("id")
	switch {
	case awsid.IsTask(id):
		t, err := e.Tasks.Task(r.Context(), c.Home(), id)
		if errors.Is(err, importtask.ErrNotFound) {
			err = nil // who may not ask is not told
		}
		return awsid.TaskARN(c.Home(), id), iam.WithResourceTags(nil, "", t.Tags), err
	case awsid.IsImageTask(id):
		t, err := e.Tasks.ImageTask(r.Context(), c.Home(), id)
		if errors.Is(err, importtask.ErrNotFound) {
			err = nil // likewise
		}
		return awsid.ImageTaskARN(c.Home(), id), iam.WithResourceTags(nil, "", t.Tags), err
	case awsid.IsSnapshot(id):
		s, err := e.Snapshots.Get(r.Context(), c.Region, id)
		if errors.Is(err, snapshot.ErrNotFound) {
			err = nil // likewise
		}
		if s.Account != c.Principal.Account {
			s.Tags = nil
		}
		return awsid.SnapshotARN(c.Region, id), iam.WithResourceTags(nil, "", s.Tags), err
	}
	return "*", nil, nil
}

// authorize returns nil if the caller may make a request.
func (e *Edge) authorize(rt route, r *http.Request, c *awshttp.Call) error {
	arn, with, err := e.resource(r, c)
	if err != nil {
		return err
	}
	if err := e.Authorize(r.Context(), c, rt.action, with, arn); err != nil {
		return &failure{http.StatusForbidden, "AccessDenied", "you are not authorized to perform " + rt.action}
	}
	if rt.readers == operator && c.Principal.Account != e.Operator {
		// Root keys of other accounts may do everything in their accounts, but not
		// this.
		return &failure{http.StatusForbidden, "AccessDenied", rt.action + " takes the keys of account " + e.Operator}
	}
	return nil
}

func (e *Edge) serve(rt route, w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(callKey{}).(*awshttp.Call)
	logkey.NoteID(r.Context(), r.PathValue("id"))
	err := e.authorize(rt, r, c)
	if err == nil {
		err = rt.handle(e, &request{r, w, c})
	}
	if err == nil {
		return
	}
	f := asFailure(err)
	if f.status >= 500 {
		e.Log.ErrorContext(r.Context(), "answering a request", logkey.Request, c.RequestID, "path", r.URL.Path, logkey.Error, err)
	}
	writeError(w, f)
}
