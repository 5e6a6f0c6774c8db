package importtask

import (
	"errors"
	"path"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/ingest"
	"github.com/diskport/diskport/internal/tag"
)

// Task is one import of a disk, from the call that asks for it to its end.
type Task struct {
	ID      string // "import-snap-" + 17 hex, or DiskID's
	Account string
	Region  string // that it was asked for in

	// As requested.
	Token           string // client token; empty: none
	RequestDigest   string // hash of the request, to tell a replay from a reuse of Token
	Description     string
	DiskDescription string
	Format          string // canonical upper case; empty until detected when not given
	RoleName        string
	Bucket, Key     string // where the image lies, even when given as a Url
	WrappedURL      []byte // the Url as given, wrapped: a presigned one is a secret
	Tags            tag.Set
	SnapshotTags    tag.Set // that the snapshot will get
	Encrypted       bool
	KMSKey          string // as asked for, empty: alias/aws/ebs; the key's ARN once planned

	// Of a disk of a machine image.
	ImageTask string // the task that it is part of; empty: the task imports a snapshot alone
	Place     Place
	Device    string // as asked for
	Member    string // the disk's file in the OVA; empty: there is none, or it has not been looked for
	Machine   Machine

	// The pinned source.
	Pin         string // source.Pin as text; empty once released
	SourceBytes int64  // bytes of the object
	SourceName  string // of its file, without folders, for people

	// Where it stands.
	State      State
	Phase      Phase   // while Active
	Failure    Failure // while Deleting and Deleted
	SnapshotID string  // set by the plan; shown to clients when Completed
	Ranges     []Range // the plan
	RangesLeft int
	Counts     Counts // of finished ranges, and of those in flight as of their last heartbeats
	Virtual    int64  // bytes of the disk; 0 until planned
	Warnings   []string
	Retry      Retry // of a unit that failed and is tried again; zero when none is
	Waiting    Wait  // of a unit that can't go on at the moment; zero when none is
	CreatedAt  time.Time
	StartedAt  time.Time // when the plan was made
	EndedAt    time.Time // zero until Completed or Deleted
}

// Home returns where the task belongs.
func (t Task) Home() awsid.Home { return awsid.Home{Account: t.Account, Region: t.Region} }

// Bytes returns the bytes of data of the disk that the plan deals with.
func (t Task) Bytes() (n int64) {
	for _, r := range t.Ranges {
		n += r.Bytes
	}
	return n
}

// Disk names the disk for people: the source's file, and that of the disk in it if it holds
// several.
func (t Task) Disk() string {
	if t.Member == "" {
		return t.SourceName
	}
	return t.SourceName + "/" + path.Base(t.Member)
}

// Range is a run of whole manifest pages, the unit of ingest.
type Range = ingest.Range

// Counts says what ingesting has done.
type Counts = ingest.Counts

// Retry says what is being tried again.
type Retry struct {
	Cause    string // of the last failure, for the owner of the task: the log has more
	Failures int    // in a row
	Since    time.Time
	Next     time.Time // when it is tried again; zero: now
}

// Wait says what a task waits for that returns by itself.
type Wait struct {
	For   string // "space: 80 MiB needed, 3 MiB free in /var/lib/diskport"
	Since time.Time
}

// Failure says why a task ended without a snapshot.
type Failure struct {
	Message string `json:"message"` // in AWS's words, for clients that show nothing else
	Reason  string `json:"reason"`  // machine-readable: the error class
	Detail  string `json:"detail"`  // the cause, naming structure and offset
	Offset  int64  `json:"offset"`  // bytes into the object; -1 when there is no such place
	Hint    string `json:"hint"`    // what to do about it
}

// Errors that callers tell apart.
var (
	// ErrNotFound: no such task in the account and region, or forgotten after its
	// retention.
	ErrNotFound = errors.New("importtask: not found")
	// ErrTooMany: the account runs as many imports as it may.
	ErrTooMany = errors.New("importtask: too many running imports")
	// ErrTokenReused: the client token was used for another request.
	ErrTokenReused = errors.New("importtask: client token used for another request")
)
