package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// Domains opens the dedupe domains that drafts and imports write to. keyring.Ring
// implements it; an error about a key is a *keyring.Error. All methods may be
// called concurrently.
type Domains interface {
	// Plain returns the account's domain of unencrypted blocks, and makes it when
	// there is none yet.
	Plain(ctx context.Context, account string) (blockstore.Domain, *frame.Keys, error)
	// NewSnapshot returns the domain of a snapshot that is encrypted under a key,
	// given by any identifier, and the id of its data key. It fails if the caller
	// can't use the key.
	NewSnapshot(ctx context.Context, who kms.Caller, identifier, snapshot string) (d blockstore.Domain, dataKey string, err error)
	// Open returns a domain by its id. It fails while its KMS key can't be used.
	Open(ctx context.Context, id string) (blockstore.Domain, *frame.Keys, error)
	// MayRead returns nil if the caller may read a snapshot that is encrypted under
	// a key.
	MayRead(ctx context.Context, who kms.Caller, keyARN, snapshot string) error
}

// AWS's limits on the drafts of an account.
const (
	MaxPending = 100
	MaxCopies  = 20
)

// Drafts is the service behind direct writes and copies. Its methods may be
// called concurrently, on any node; its fields are set before the first call.
type Drafts struct {
	Store   DraftStore
	Images  ImageCopies     // for CopyImage alone
	Volumes VolumeSnapshots // for OfVolume alone
	Records Records
	Library *Library
	Domains Domains
	IDs     awsid.Source
	Now     func() time.Time
	Owner   string    // names this node in leases
	Bus     *wake.Bus // wakes claimers when there is a draft to settle
	// Growth returns nil if more may be stored, else an error that wraps
	// space.ErrFull, which is what is returned then. Nil: it always may.
	Growth func() error
	// Aged is the time by which drafts expire, which may be behind Now; nil: Now.
	Aged func() time.Time
	// SlicePages is how many pages of a manifest one transaction registers; 0: 1,024.
	SlicePages int

	mu   sync.Mutex // guards open
	open map[string]*appender
}

// StartRequest asks for an empty snapshot, or for one that begins as its parent
// does and is encrypted like it.
type StartRequest struct {
	Home        awsid.Home // of the new snapshot
	Caller      kms.Caller // who must be allowed to use keys
	Token       string
	Digest      string
	Description string
	VolumeSize  int64 // GiB
	Parent      string
	Encrypt     *Encryption // nil: not; nil with a parent
	Timeout     time.Duration
	Tags        tag.Set
}

// Replay returns the snapshot that a client token made before; ok is false if there
// is none. ErrTokenReused if the token stood for another request.
func (d *Drafts) Replay(ctx context.Context, home awsid.Home, token, digest string) (r Record, ok bool, err error) {
	if token == "" {
		return r, false, nil
	}
	made, err := d.Store.ByToken(ctx, home, token)
	switch {
	case errors.Is(err, ErrNotFound):
		return r, false, nil
	case err == nil && made.Digest != digest:
		err = ErrTokenReused
	}
	return made.Record, err == nil, err
}

// Start makes a snapshot that can be written. Two requests with one client token at
// the same time get the same snapshot. ErrTokenReused, ErrTooMany, ErrNotFound (of
// the parent), ErrParentLarger, *keyring.Error.
func (d *Drafts) Start(ctx context.Context, r StartRequest) (Record, error) {
	rec := Record{ID: d.IDs.Snapshot(), Account: r.Home.Account, Region: r.Home.Region, Description: r.Description, VolumeSize: r.VolumeSize, Parent: r.Parent, Tags: r.Tags}
	draft := Draft{Record: rec, Token: r.Token, Digest: r.Digest, Timeout: r.Timeout}
	encrypt := r.Encrypt
	if err := d.growth(); err != nil {
		return Record{}, err
	}
	if r.Parent != "" {
		parent, err := d.source(ctx, r.Home, r.Parent)
		switch {
		case err != nil:
			return Record{}, err
		case parent.VolumeSize > r.VolumeSize:
			return Record{}, ErrParentLarger
		}
		draft.Lineage = parent.Lineage
		if encrypt, err = d.sameKey(ctx, r.Caller, parent); err != nil {
			return Record{}, err
		}
	}
	if err := d.house(ctx, &draft.Record, r.Caller, encrypt); err != nil {
		return Record{}, err
	}
	return d.start(ctx, draft, r.Parent, MaxPending)
}

// CopyRequest asks for a copy of a snapshot that the account may use.
type CopyRequest struct {
	Home         awsid.Home // of the copy
	Caller       kms.Caller // who must be allowed to use keys
	Source       string
	SourceRegion string // where it is
	Description  string
	Encrypt      *Encryption // nil: as the source is
	DefaultKey   string      // the account's, as Encryption.Key
	Tags         tag.Set
}

// Copy makes a snapshot with the blocks of another. Within a domain no data is
// copied. When the key can't be used, the snapshot is made and fails, as at AWS.
// ErrNotFound, ErrNotPending (the source is not completed), ErrTooMany.
func (d *Drafts) Copy(ctx context.Context, r CopyRequest) (Record, error) {
	draft, err := d.copyOf(ctx, r)
	if err != nil {
		return Record{}, err
	}
	rec, err := d.start(ctx, draft, r.Source, MaxCopies)
	if err == nil {
		d.Bus.Wake(work.Due(work.Complete))
	}
	return rec, err
}

// copyOf prepares a copy.
func (d *Drafts) copyOf(ctx context.Context, r CopyRequest) (Draft, error) {
	source, err := d.Records.Get(ctx, r.SourceRegion, r.Source)
	if err == nil && !source.UsableBy(r.Home.Account) {
		err = ErrNotFound
	}
	if err == nil && source.State != Completed {
		err = ErrNotPending
	}
	if err == nil {
		err = d.growth()
	}
	if err != nil {
		return Draft{}, err
	}
	draft := Draft{Want: &Expected{Blocks: -1}, CopyOf: r.Source, CopyRegion: r.SourceRegion, Record: Record{
		ID: d.IDs.Snapshot(), Account: r.Home.Account, Region: r.Home.Region, Description: r.Description,
		VolumeSize: source.VolumeSize, VirtualSize: source.VirtualSize, SourceName: source.SourceName, Tags: r.Tags,
	}}
	encrypt, err := d.keyOfCopy(ctx, r, source)
	if err == nil {
		err = d.house(ctx, &draft.Record, r.Caller, encrypt)
	}
	var key *keyring.Error
	switch {
	case errors.As(err, &key):
		draft.Refused = msgKey
	case err != nil:
		return Draft{}, err
	}
	return draft.started(d.Now()), nil
}

// source returns a completed snapshot of the region that the account may read.
func (d *Drafts) source(ctx context.Context, home awsid.Home, id string) (Record, error) {
	rec, err := d.Records.Get(ctx, home.Region, id)
	if err == nil && (!rec.ReadableBy(home.Account) || rec.State != Completed) {
		err = ErrNotFound
	}
	return rec, err
}

// started returns a draft as one that begins now.
func (d Draft) started(now time.Time) Draft {
	d.State, d.StartedAt, d.Tier = Pending, now, Standard
	if d.Lineage == "" {
		d.Lineage = d.ID
	}
	return d
}

func (d *Drafts) start(ctx context.Context, draft Draft, base string, limit int) (Record, error) {
	draft = draft.started(d.Now())
	stored, created, err := d.Store.Start(ctx, draft, base, limit)
	if err == nil && !created && stored.Digest != draft.Digest {
		err = ErrTokenReused
	}
	return stored.Record, err
}

func (d *Drafts) growth() error {
	if d.Growth == nil {
		return nil
	}
	return d.Growth()
}

func (d *Drafts) aged() time.Time {
	if d.Aged == nil {
		return d.Now()
	}
	return d.Aged()
}

// WrittenBlock is a block that a client writes.
type WrittenBlock struct {
	Index    int64
	Data     []byte // block.Size bytes, not changed until Put returns
	Digest   block.Digest
	Progress int // percent, as the client says
}

// Put writes a block of a draft and returns when it is durable and every node sees
// it. *ChecksumError, *BeyondError, ErrNotFound, ErrNotPending, ErrConflict.
func (d *Drafts) Put(ctx context.Context, home awsid.Home, id string, b WrittenBlock) error {
	draft, err := d.writable(ctx, home, id)
	if err != nil {
		return err
	}
	if b.Index < 0 || b.Index >= draft.VolumeSize*block.PerGiB {
		return &BeyondError{b.Index}
	}
	if got := block.Sum(b.Data); got != b.Digest {
		return &ChecksumError{got, b.Digest}
	}
	if err := d.growth(); err != nil {
		return err
	}
	a := d.join(draft)
	defer d.leave(a)
	if err := a.put(ctx, b); err != nil {
		return fmt.Errorf("writing block %d of %s: %w", b.Index, id, err)
	}
	return nil
}

// Complete ends the writing of a draft and returns its state. What was written is
// compared with what the client says afterwards, by a unit of work. Completing a
// draft again changes nothing. ErrNotFound, ErrNotPending.
func (d *Drafts) Complete(ctx context.Context, home awsid.Home, id string, want Expected) (State, error) {
	err := d.Store.Complete(ctx, home, id, want)
	if errors.Is(err, ErrNotPending) {
		rec, gerr := d.Records.Get(ctx, home.Region, id)
		if gerr == nil && rec.State != Pending && rec.Task == "" {
			return rec.State, nil
		}
	}
	if err != nil {
		return "", err
	}
	d.Bus.Wake(work.Due(work.Complete))
	return Pending, nil
}

func (d *Drafts) writable(ctx context.Context, home awsid.Home, id string) (Draft, error) {
	draft, err := d.Store.Draft(ctx, id)
	switch {
	case errors.Is(err, ErrNotFound), draft.Home() != home && (err == nil || errors.Is(err, ErrNotPending)):
		return draft, ErrNotFound // what others have is not told
	case err != nil:
		return draft, err
	case draft.Want != nil:
		return draft, ErrNotPending
	}
	return draft, nil
}

// join returns the appender of a draft; leave lets it go.
func (d *Drafts) join(draft Draft) *appender {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = map[string]*appender{}
	}
	a, ok := d.open[draft.ID]
	if !ok {
		a = newAppender(d, draft)
		d.open[draft.ID] = a
	}
	a.users++
	return a
}

func (d *Drafts) leave(a *appender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a.users--; a.users == 0 {
		delete(d.open, a.draft.ID)
	}
}
