package ebsapi

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/quota"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

// Snapshots is what this edge needs of package snapshot. Library returns one. It is
// safe for concurrent use.
type Snapshots interface {
	// Get returns the record of a snapshot of a region, of any account.
	// snapshot.ErrNotFound.
	Get(ctx context.Context, region, id string) (snapshot.Record, error)
	// Open opens a completed snapshot for reading. It fails while the KMS key of
	// the snapshot can't be used.
	Open(ctx context.Context, r snapshot.Record) (Blocks, error)
}

// Drafts is what this edge needs of snapshot.Drafts.
type Drafts interface {
	Start(ctx context.Context, r snapshot.StartRequest) (snapshot.Record, error)
	// Replay returns the snapshot that a client token started before, if there is
	// one.
	Replay(ctx context.Context, home awsid.Home, token, digest string) (r snapshot.Record, ok bool, err error)
	Put(ctx context.Context, home awsid.Home, id string, b snapshot.WrittenBlock) error
	Complete(ctx context.Context, home awsid.Home, id string, want snapshot.Expected) (snapshot.State, error)
}

// Keys is what this edge needs of keyring.Ring.
type Keys interface {
	// MayRead returns nil if the caller may read a snapshot that is encrypted under
	// a key, else a *keyring.Error.
	MayRead(ctx context.Context, who kms.Caller, keyARN, snapshot string) error
}

// Blocks is one open snapshot. It is safe for concurrent use.
type Blocks interface {
	// From returns the blocks from an index on, ascending.
	From(ctx context.Context, index int64) iter.Seq2[snapshot.Block, error]
	// Diff returns the indexes, beginning at from, at which the snapshot and a
	// later one differ, ascending.
	Diff(ctx context.Context, later Blocks, from int64) iter.Seq2[snapshot.Change, error]
	// Read returns a block's plaintext, verified, with its digest. It is not to be
	// changed, and may lie in buf, which has frame.Size bytes. snapshot.ErrAbsent when
	// there is no block at the index.
	Read(ctx context.Context, index int64, buf []byte) ([]byte, block.Digest, error)
}

// Options are the parts and settings of an API.
type Options struct {
	Snapshots Snapshots
	Drafts    Drafts
	Keys      Keys
	Defaults  interface { // of new snapshots
		Defaults(ctx context.Context, home awsid.Home) (snapshot.Defaults, error)
	}
	Throttle *quota.Throttle // of an account's requests; nil: none
	// PerSnapshot limits the requests for a snapshot's blocks; nil: none.
	PerSnapshot *quota.Throttle
	Log         *slog.Logger
	Now         func() time.Time // nil means time.Now
	TokenKey    []byte           // MAC key of tokens, the same on every node
	// Strict refuses to compare snapshots of different lineages, as AWS does.
	Strict bool
}

// API is the EBS direct edge. It is safe for concurrent use.
type API struct {
	Options
	tokens tokens
	frames sync.Pool // of *[]byte, frame.Size each
}

var _ awshttp.Edge = (*API)(nil)

// New returns the edge.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &API{Options: o, tokens: newTokens(o.TokenKey), frames: sync.Pool{New: func() any { b := make([]byte, frame.Size); return &b }}}
}

// operation is one row of the table of operations.
type operation struct {
	name   string
	method string
	path   string // {id} and {index} stand for one segment
	serve  func(a *API, ctx context.Context, w http.ResponseWriter, c request) error
}

const startSnapshot = "StartSnapshot"

// operations are all operations of EBS direct.
var operations = []operation{
	{"ListSnapshotBlocks", "GET", "/snapshots/{id}/blocks", (*API).listBlocks},
	{"ListChangedBlocks", "GET", "/snapshots/{id}/changedblocks", (*API).listChanged},
	{"GetSnapshotBlock", "GET", "/snapshots/{id}/blocks/{index}", (*API).getBlock},
	{startSnapshot, "POST", "/snapshots", (*API).startSnapshot},
	{"PutSnapshotBlock", "PUT", "/snapshots/{id}/blocks/{index}", (*API).putBlock},
	{"CompleteSnapshot", "POST", "/snapshots/completion/{id}", (*API).completeSnapshot},
}

// match returns the variable segments of path, if it is a path of the operation.
func (op operation) match(method, path string) (vars map[string]string, ok bool) {
	want, got := strings.Split(op.path, "/"), strings.Split(path, "/")
	if op.method != method || len(want) != len(got) {
		return nil, false
	}
	vars = map[string]string{}
	for i, segment := range want {
		switch {
		case strings.HasPrefix(segment, "{"):
			vars[strings.Trim(segment, "{}")] = got[i]
		case segment != got[i]:
			return nil, false
		}
	}
	return vars, true
}

// ServeAWS implements awshttp.Edge.
func (a *API) ServeAWS(w http.ResponseWriter, r *http.Request, c *awshttp.Call) {
	err := a.serve(w, r, c)
	if err == nil {
		return
	}
	fault, known := faultOf(err)
	if !known && r.Context().Err() == nil {
		a.Log.ErrorContext(r.Context(), "answering a request", logkey.Request, c.RequestID, "action", c.Action, logkey.Error, err)
	}
	c.Fail(w, fault)
}

// serve finds the operation and makes the checks that all operations have in
// common.
func (a *API) serve(w http.ResponseWriter, r *http.Request, c *awshttp.Call) error {
	for _, op := range operations {
		vars, ok := op.match(r.Method, r.URL.Path)
		if !ok {
			continue
		}
		c.Action = op.name
		tell(r.Context(), c, vars)
		query := request{Call: c, id: vars["id"], index: vars["index"], query: c.Form, header: r.Header, records: map[string]snapshot.Record{}}
		if op.name == startSnapshot {
			var err error
			if query.start, err = parseStart(c.Body); err != nil {
				return err
			}
		}
		if err := a.authorize(r.Context(), query, op.name); err != nil {
			return err
		}
		if err := a.throttle(query, op.name); err != nil {
			return err
		}
		return op.serve(a, r.Context(), w, query)
	}
	return awshttp.Fault{Status: http.StatusNotFound, Code: "UnknownOperationException"}
}

// tell tells the audit log what the path names.
func tell(ctx context.Context, c *awshttp.Call, vars map[string]string) {
	c.Parameters = map[string]any{}
	logkey.NoteID(ctx, vars["id"])
	for name, as := range map[string]string{"id": "snapshotId", "index": "blockIndex"} {
		if v, ok := vars[name]; ok {
			c.Parameters[as] = v
		}
	}
}

// throttle slows down who may do what it asks for: others take nothing of what the
// account may ask, and no account takes anything of another's. Snapshots that are
// shared count for each account by itself.
func (a *API) throttle(r request, operation string) error {
	if !a.Throttle.Allow(r.Principal.Account, operation) {
		return throttled(operation)
	}
	if isOfBlock(operation) && !a.PerSnapshot.Allow(r.Principal.Account+"/"+r.id, operation) {
		return awshttp.Fault{Status: http.StatusBadRequest, Code: "RequestThrottledException", Message: "The snapshot is asked for too much.", Reason: "RESOURCE_LEVEL_THROTTLE"}
	}
	return nil
}

// authorize asks for an operation on the snapshots that a request names. Policies may
// depend on the tags of the account's own.
func (a *API) authorize(ctx context.Context, r request, operation string) error {
	if operation == startSnapshot {
		return r.start.authorize(ctx, r)
	}
	for _, id := range r.snapshots(operation) {
		var tags tag.Set
		if r.Principal.Kind != iam.Root { // policies do not apply to root
			record, err := a.record(ctx, r, id)
			switch {
			case err == nil && record.Account == r.Principal.Account:
				tags = record.Tags
			case err != nil && !errors.Is(err, snapshot.ErrNotFound):
				return about(id, err)
			}
		}
		if err := r.Authorize(ctx, "ebs:"+operation, iam.WithResourceTags(nil, "", tags), awsid.SnapshotARN(r.Region, id)); err != nil {
			return err
		}
	}
	return nil
}

// record looks a snapshot up once for a request: to authorise and to read it.
func (a *API) record(ctx context.Context, r request, id string) (snapshot.Record, error) {
	if record, ok := r.records[id]; ok {
		return record, nil
	}
	record, err := a.Snapshots.Get(ctx, r.Region, id)
	if err == nil {
		r.records[id] = record
	}
	return record, err
}

// open returns a snapshot that the caller may read, ready to be read.
func (a *API) open(ctx context.Context, c request, id string) (snapshot.Record, Blocks, error) {
	record, err := a.record(ctx, c, id)
	switch {
	case err != nil || record.ReadableBy(c.Principal.Account):
	case record.UsableBy(c.Principal.Account):
		err = errPublic
	default:
		err = snapshot.ErrNotFound
	}
	if err == nil && record.State != snapshot.Completed {
		err = errNotCompleted
	}
	if err == nil && record.KMSKey != "" {
		err = a.Keys.MayRead(ctx, c.KeyUser(), record.KMSKey, id)
	}
	if err != nil {
		return record, nil, about(id, err)
	}
	blocks, err := a.Snapshots.Open(ctx, record)
	return record, blocks, about(id, err)
}

// Actions returns the names of all operations.
func Actions() []string {
	var names []string
	for _, op := range operations {
		names = append(names, op.name)
	}
	return names
}
