package importtask

import (
	"errors"
	"time"

	"github.com/diskport/diskport/internal/tag"
)

// Task is one import, from the call that asks for it to its end.
type Task struct {
	ID      string // "import-snap-" + 17 hex
	Account string

	// As requested.
	Token           string // client token; empty: none
	RequestDigest   string // hash of the request, to tell a replay from a reuse of Token
	Description     string
	DiskDescription string
	Format          string // canonical upper case; empty until detected when not given
	RoleName        string
	Bucket, Key     string // where the image lies, also when given as a Url
	SealedURL       []byte // the Url as given, sealed: a presigned one is a secret
	Tags            tag.Set

	// The pinned source.
	Pin         string // source.Pin as text; empty once released
	SourceBytes int64  // bytes of the object

	// Where it stands.
	State      State
	Phase      Phase   // while Active
	Failure    Failure // while Deleting and Deleted
	SnapshotID string  // set by the plan; shown to clients when Completed
	Ranges     []Range // the plan
	RangesLeft int
	Counts     Counts // of finished ranges, plus those in flight as last heard
	Virtual    int64  // bytes of the disk; 0 until planned
	Warnings   []string
	CreatedAt  time.Time
	StartedAt  time.Time // when the plan was made
	EndedAt    time.Time // zero until Completed or Deleted
}

// Range is a run of whole manifest pages, the unit of ingest.
type Range struct {
	First int64 `json:"first"` // page index
	Pages int64 `json:"pages"`
	Bytes int64 `json:"bytes"` // of Data, by the image's tables: what progress counts to
}

// Counts says what ingesting has done. Blocks are counted once each.
type Counts struct {
	Source       int64 `json:"source"` // bytes read from the source
	Done         int64 `json:"done"`   // bytes of Data dealt with, on the scale of Range.Bytes
	Data         int64 `json:"data"`   // blocks named by the manifest
	Zero         int64 `json:"zero"`   // blocks read and found to be all zero
	Deduplicated int64 `json:"dedup"`  // of Data: blocks that were stored already
	Stored       int64 `json:"stored"` // bytes added to the store
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	c.Source += o.Source
	c.Done += o.Done
	c.Data += o.Data
	c.Zero += o.Zero
	c.Deduplicated += o.Deduplicated
	c.Stored += o.Stored
}

// Failure says why a task ended without a snapshot.
type Failure struct {
	Message string `json:"message"` // AWS's words, for clients that know nothing else
	Reason  string `json:"reason"`  // machine-readable: the error class
	Detail  string `json:"detail"`  // the cause, naming structure and offset
	Offset  int64  `json:"offset"`  // bytes into the object; -1 when it has no place
	Hint    string `json:"hint"`    // what to do about it
}

// Errors that callers tell apart.
var (
	// ErrNotFound: no such task in the account, or forgotten after its retention.
	ErrNotFound = errors.New("importtask: not found")
	// ErrTooMany: the account runs as many imports as it may.
	ErrTooMany = errors.New("importtask: too many running imports")
	// ErrTokenReused: the client token was used for another request.
	ErrTokenReused = errors.New("importtask: client token used for another request")
)
