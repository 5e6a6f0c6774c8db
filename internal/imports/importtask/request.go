package importtask

import (
	"fmt"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/tag"
)

// Request asks for an import. The edge has decoded and authorised it, and validated
// it by the rules that need nothing but the request (contract §3.1, steps 1–5).
type Request struct {
	Account string
	Region  string
	// Caller is the principal that asks, and Origin where the request comes from:
	// the caller, too, must be allowed to read the object.
	Caller iam.Principal
	Origin iam.Origin

	Token           string // client token
	Digest          string // of everything in the request that makes it the same request
	Description     string
	DiskDescription string
	Format          string // canonical upper case, or empty
	RoleName        string // "vmimport" unless given
	URL             string // either URL, or Bucket and Key
	Bucket, Key     string
	Encrypted       bool
	KMSKey          string   // of any form; empty: alias/aws/ebs
	OwnHosts        []string // host[:port] names under which this service was reached
	Tags            []tag.Tag
	SnapshotTags    []tag.Tag // for the snapshot, if the service takes them

	image bool // it is about a container of an ImageRequest
}

// Home returns where the task will belong.
func (r Request) Home() awsid.Home { return awsid.Home{Account: r.Account, Region: r.Region} }

// source returns the part of r that package source needs.
func (r Request) source(now time.Time) source.Request {
	return source.Request{Account: r.Account, Region: r.Region, Bucket: r.Bucket, Key: r.Key, URL: r.URL, Role: r.RoleName, OwnHosts: r.OwnHosts, Now: now, Origin: r.Origin}
}

// ImageRequest asks for the import of a machine image. The edge has done with it what it
// does with a Request.
type ImageRequest struct {
	Account string
	Region  string
	Caller  iam.Principal
	Origin  iam.Origin

	Token        string
	Digest       string
	Spec         ImageSpec // without what the containers say
	Containers   []Container
	OwnHosts     []string
	Tags         []tag.Tag
	SnapshotTags []tag.Tag // for the snapshots that are made, if the service takes them
}

// Container is a disk, an OVA with several, or a snapshot.
type Container struct {
	Description string
	Device      string // its name; empty: any
	Format      string // canonical upper case, or empty
	URL         string // of URL, Bucket with Key, and Snapshot one is given
	Bucket, Key string
	Snapshot    string
}

// Home returns where the task will belong.
func (r ImageRequest) Home() awsid.Home { return awsid.Home{Account: r.Account, Region: r.Region} }

// disk returns the request for the import of one container alone.
func (r ImageRequest) disk(c Container) Request {
	return Request{
		Account: r.Account, Region: r.Region, Caller: r.Caller, Origin: r.Origin,
		DiskDescription: c.Description, Format: c.Format, RoleName: r.Spec.RoleName, URL: c.URL, Bucket: c.Bucket, Key: c.Key,
		Encrypted: r.Spec.Encrypted, KMSKey: r.Spec.KMSKey, OwnHosts: r.OwnHosts, SnapshotTags: r.SnapshotTags, image: true,
	}
}

// UnfinishedError reports a container that is a snapshot which is not completed.
type UnfinishedError struct{ Snapshot string }

func (e *UnfinishedError) Error() string {
	return "importtask: snapshot " + e.Snapshot + " is not completed"
}

// ContainerError says which container of an ImageRequest an error is about.
type ContainerError struct {
	Number int // from 1
	Err    error
}

func (e *ContainerError) Error() string {
	return fmt.Sprintf("importtask: container %d: %v", e.Number, e.Err)
}

// Unwrap returns the cause.
func (e *ContainerError) Unwrap() error { return e.Err }

// RoleError reports that the service role does not exist, may not be assumed, or lacks
// permissions.
type RoleError struct {
	Role string
	Err  error // why, for the log
}

func (e *RoleError) Error() string {
	return "importtask: service role " + e.Role + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *RoleError) Unwrap() error { return e.Err }

// ObjectError reports that the source object is missing or may not be read. Like AWS, it
// does not say which.
type ObjectError struct {
	Bucket, Key string
	Err         error
}

func (e *ObjectError) Error() string {
	return "importtask: object " + e.Bucket + "/" + e.Key + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *ObjectError) Unwrap() error { return e.Err }
