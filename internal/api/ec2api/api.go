package ec2api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/quota"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

// Imports starts and stops imports: what this edge needs of importtask.Service,
// together with Tasks.
type Imports interface {
	Import(ctx context.Context, r importtask.Request) (importtask.Task, error)
	// Check returns the error that Import, or the task that it starts, would fail with.
	// Nothing is stored.
	Check(ctx context.Context, r importtask.Request) error
	// Cancel returns the state that the task was in before.
	Cancel(ctx context.Context, home awsid.Home, id, reason string) (importtask.State, error)
}

// ImageImports starts imports of machine images; importtask.Service implements it.
type ImageImports interface {
	ImportImage(ctx context.Context, r importtask.ImageRequest) (importtask.ImageTask, error)
	// CheckImage is Imports.Check for ImportImage.
	CheckImage(ctx context.Context, r importtask.ImageRequest) error
}

// ImageTasks shows them.
type ImageTasks interface {
	ImageTask(ctx context.Context, home awsid.Home, id string) (importtask.ImageTask, error)
	ImageTasks(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) ([]importtask.ImageTask, error)
	// WaitImage returns the task when it has ended, or as it is when ctx is done.
	WaitImage(ctx context.Context, home awsid.Home, id string) (importtask.ImageTask, error)
}

// Tasks shows imports.
type Tasks interface {
	Task(ctx context.Context, home awsid.Home, id string) (importtask.Task, error)
	Tasks(ctx context.Context, home awsid.Home, f importtask.Filter, after listing.Place, limit int) ([]importtask.Task, error)
	// Wait returns the task when it has ended, or as it is when ctx is done.
	Wait(ctx context.Context, home awsid.Home, id string) (importtask.Task, error)
	// URL returns the Url that the task was asked for with, or "".
	URL(t importtask.Task) string
}

// Snapshots is what this edge needs of snapshot.Records.
type Snapshots interface {
	Get(ctx context.Context, region, id string) (snapshot.Record, error)
	List(ctx context.Context, home awsid.Home, f snapshot.Filter, after listing.Place, limit int) ([]snapshot.Record, error)
}

// Images is what this edge needs of image.Store.
type Images interface {
	Register(ctx context.Context, i image.Image) error
	Deregister(ctx context.Context, home awsid.Home, id string) (image.Image, error)
	Get(ctx context.Context, region, id string) (image.Image, error)
	List(ctx context.Context, home awsid.Home, f image.Filter, after listing.Place, limit int) ([]image.Image, error)
}

// Volumes is what this edge needs of volume.Store.
type Volumes interface {
	Create(ctx context.Context, v volume.Volume) (stored volume.Volume, created bool, err error)
	List(ctx context.Context, home awsid.Home, f volume.Filter, after listing.Place, limit int) ([]volume.Volume, error)
	Modify(ctx context.Context, home awsid.Home, id string, m volume.Modification) (volume.Volume, error)
	Delete(ctx context.Context, home awsid.Home, id string) error
}

// Copies is what this edge needs of snapshot.Drafts.
type Copies interface {
	Copy(ctx context.Context, r snapshot.CopyRequest) (snapshot.Record, error)
	CopyImage(ctx context.Context, r snapshot.ImageCopyRequest) (image.Image, error)
	EncryptVolume(ctx context.Context, v volume.Volume, who kms.Caller, e *snapshot.Encryption, defaultKey string) (source snapshot.Record, keyARN string, err error)
	OfVolume(ctx context.Context, r snapshot.VolumeSnapshotRequest) (snapshot.Record, error)
}

// Keys is what this edge needs of keyring.Ring.
type Keys interface {
	// Resolve returns the ARN of the key that an identifier of any form stands for,
	// to the caller. *keyring.Error when the key can't be used.
	Resolve(ctx context.Context, who kms.Caller, id string) (arn string, err error)
	// IsManaged reports whether a key is the one that AWS manages for EBS
	// (alias/aws/ebs).
	IsManaged(ctx context.Context, arn string) (bool, error)
}

// Options are the parts and settings of an API.
type Options struct {
	Imports      Imports
	Tasks        Tasks
	ImageImports ImageImports
	ImageTasks   ImageTasks
	Snapshots    Snapshots
	Changes      snapshot.Changes
	Copies       Copies
	Defaults     snapshot.DefaultsStore
	Images       Images
	ImageChanges image.Changes
	Volumes      Volumes
	Keys         Keys
	Tags         tag.Store
	IDs          awsid.Source
	Regions      awsid.Regions   // of the service: copies name them, DescribeRegions lists them
	Throttle     *quota.Throttle // of requests; nil: none
	Log          *slog.Logger
	Now          func() time.Time // nil means time.Now
	TokenKey     []byte           // MAC key of page tokens, the same on every node

	// TagSnapshots takes tag specifications of type snapshot for imports.
	TagSnapshots bool
	// DeepDryRun makes dry runs check role, object and image too.
	DeepDryRun bool
	// Formats are the image formats that Format may name, in upper case; nil
	// means those of AWS.
	Formats []string
	// OwnHosts are further names (host[:port]) of this service, besides the
	// one that a request came to.
	OwnHosts []string
	// Source is the foreign S3 that images may lie in, if there is one.
	Source source.Endpoint
	// HoldPoll bounds how long the answer to a poll of one running task is held
	// back; 0 is off.
	HoldPoll time.Duration
	// FailedStatus is the status that is shown of a task that ended without a
	// snapshot; empty means "deleted", as at AWS.
	FailedStatus string
	// Strict restores AWS's own refusals and texts.
	Strict bool
}

// API is the EC2 edge. It is safe for concurrent use.
type API struct {
	Options
	pages awshttp.Mint
}

var (
	_ awshttp.Edge = (*API)(nil)
	_ Imports      = (*importtask.Service)(nil)
	_ Tasks        = (*importtask.Service)(nil)
	_ ImageImports = (*importtask.Service)(nil)
	_ ImageTasks   = (*importtask.Service)(nil)
)

// New returns the edge.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Formats == nil {
		o.Formats = []string{"RAW", "VHD", "VHDX", "VMDK"}
	}
	if o.FailedStatus == "" {
		o.FailedStatus = string(importtask.Deleted)
	}
	return &API{Options: o, pages: awshttp.NewMint(o.TokenKey, "ec2 page")}
}

// ServeAWS implements awshttp.Edge.
func (a *API) ServeAWS(w http.ResponseWriter, r *http.Request, c *awshttp.Call) {
	body, err := a.answer(r, c)
	if err != nil {
		fault, known := faultOf(err)
		if !known && r.Context().Err() == nil {
			a.Log.ErrorContext(r.Context(), "answering a request", logkey.Request, c.RequestID, "action", c.Action, logkey.Error, err)
		}
		c.Fail(w, fault)
		return
	}
	w.Header().Set("Content-Type", ec2query.ContentType)
	w.Header().Set("Cache-Control", "no-cache, no-store")
	_, _ = w.Write(body) // a client that is gone needs no answer
}

var versions = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// oldestVersion is the first API version whose answers look like today's.
const oldestVersion = "2014-10-01"

func (a *API) answer(r *http.Request, c *awshttp.Call) ([]byte, error) {
	name, version := c.Form.Get("Action"), c.Form.Get("Version")
	if name == "" {
		return nil, refused("MissingAction", "The request must contain the parameter Action")
	}
	act, built := actions[name]
	switch {
	case !built && !isAWSAction(name):
		return nil, refused("InvalidAction", fmt.Sprintf("The action %.64s is not valid for this web service.", name))
	case version == "":
		return nil, refused("MissingParameter", "The request must contain the parameter Version")
	case !versions.MatchString(version) || version < oldestVersion:
		return nil, refused("NoSuchVersion", fmt.Sprintf("The requested version (%.64s) of service AmazonEC2 does not exist", version))
	}
	c.Action = name
	if !built {
		return nil, refused("UnsupportedOperation", fmt.Sprintf("The operation %s is not supported.", name))
	}
	out, err := act(r.Context(), call{API: a, Call: c, host: r.Host, tagsSnapshots: r.Header.Get(tagSnapshotsHeader) != ""})
	if err != nil {
		return nil, err
	}
	return ec2query.Encode(name, version, c.RequestID, out)
}
