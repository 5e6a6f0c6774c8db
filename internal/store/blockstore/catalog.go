package blockstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/work"
)

// FileKind says what a file of the store holds.
type FileKind string

// The kinds of files.
const (
	PackFile  FileKind = "pack"  // framed blocks
	PagesFile FileKind = "pages" // manifest pages of one unit of work
	RootFile  FileKind = "root"  // the root of one manifest
)

// FileID numbers a file of the store. IDs are never used again.
type FileID int64

// File is a file of the store as the catalog knows it. Its row is committed
// before its first byte is written, so a file without a row is garbage.
type File struct {
	ID     FileID
	Kind   FileKind
	Domain string // dedupe domain of a pack; empty for others
}

// Name returns the name under which a Backend keeps the file.
func (f File) Name() string { return fmt.Sprintf("%s/%02x/%016x", f.Kind, byte(f.ID), uint64(f.ID)) }

// ParseName is the inverse of File.Name; ok is false if name is not that of a file
// of the store. The domain is not in the name.
func ParseName(name string) (f File, ok bool) {
	kind, _, _ := strings.Cut(name, "/")
	id, err := strconv.ParseUint(name[strings.LastIndexByte(name, '/')+1:], 16, 63)
	f = File{ID: FileID(id), Kind: FileKind(kind)}
	known := f.Kind == PackFile || f.Kind == PagesFile || f.Kind == RootFile
	return f, err == nil && known && f.Name() == name
}

// Span is where a frame lies in its pack, in units of Align bytes.
type Span struct{ Off, Len uint32 }

// end returns the first unit behind the span.
func (s Span) end() uint32 { return s.Off + s.Len }

// Before reports whether a frame at next lies right behind the one at s.
func (s Span) Before(next Span) bool { return s.end() == next.Off }

// Check returns an error for a span that no frame of any pack has.
func (s Span) Check() error {
	if s.Off < headerSize/Align || s.Off >= maxPackUnits || s.Len < 1 || s.Len > frame.Size/Align {
		return fmt.Errorf("%w: no frame lies at %d, of %d units", ErrNoBlock, s.Off, s.Len)
	}
	return nil
}

// Location is where a block's frame lies.
type Location struct {
	File File
	Span
}

// Placement is a block that a unit of work wrote to a pack.
type Placement struct {
	ID block.ID
	Span
}

// ClosedPack is a pack that is durable, with the blocks it holds. The event
// that finishes the unit names it; only then do its blocks exist.
type ClosedPack struct {
	File   File
	Bytes  int64
	Blocks []Placement
}

// Domain is a dedupe domain's row: account + KMS key (or none), with its keys
// wrapped. Equal plaintext is stored once inside a domain.
//
// The data keys have consecutive numbers. New ones are made, and old ones dropped; the
// row says in the clear which ones there are. Of a domain that is read from a pack's
// header they are not known.
type Domain struct {
	ID          string // "dom-" + 17 hex
	Account     string
	KMSKey      string // key ARN; empty: unencrypted
	WrappedKeys []byte // ID key and data keys, wrapped under the master key, or encrypted under the KMS key

	Oldest, Newest uint32 // numbers of the data keys; 0 without any
	// Retire is the number below which data keys are to go: compaction moves their
	// frames to the newest. Once there are none, Oldest becomes Retire.
	Retire uint32
}

// Retiring reports whether the domain has data keys that are to go. All of them can't be:
// a row that says so is damaged, and is not believed, or each compaction would encrypt all
// blocks anew.
func (d Domain) Retiring() bool { return d.Retire > d.Oldest && d.Retire <= d.Newest }

// KeyUse says which data keys the frames of a new pack are encrypted under.
type KeyUse struct {
	Oldest uint32 // no frame will have a data key with a lower number
	Newest uint32 // encrypts what the pack's writer encrypts
	Blocks int64  // that it will encrypt at most; 0: it encrypts nothing
	Limit  int64  // blocks that a data key may encrypt
}

// ErrStaleKey reports a data key that must encrypt no more: there is a newer one, or it
// has encrypted as many blocks as it may.
var ErrStaleKey = errors.New("blockstore: the data key is not to be used any more")

// ErrNoBlock reports a block that a manifest names and the catalog does not know, or
// says of that it lies where no frame can, which is corruption.
var ErrNoBlock = errors.New("blockstore: no such block")

// Catalog is the index of the store: which files and blocks exist. Blocks enter it
// only in the event that finishes a unit of work (importtask.Store,
// snapshot.DraftStore), after their pack is closed. Writers ask it what is stored
// already, readers where it lies. Every method is one transaction, and all may be
// called concurrently, from any node. Memory may speed the catalog up but never
// decides (the ordering invariant in ARCHITECTURE.md, rule 6). The suite is
// catalogtest; it runs on every engine.
type Catalog interface {
	FileIndex
	BlockIndex
}

// FileIndex is the part of a Catalog that starts files.
type FileIndex interface {
	// CreateFile commits the row of a new file, owned by the lease, which it checks
	// (work.ErrLost). The first byte may be written only after it has returned, so
	// that gc knows of every file.
	//
	// If the file's writer will encrypt, the same transaction checks that u names the
	// newest data key of the file's domain and counts the blocks, written or not: so no
	// pack under an older key appears once there is a newer one, and no key encrypts more
	// than it may. ErrStaleKey.
	CreateFile(ctx context.Context, l work.Lease, f File, u KeyUse) error
	// CheckLease fails with work.ErrLost unless the lease is held. A lease that is lost
	// is never held again, so whatever was done before the call was done under it.
	CheckLease(ctx context.Context, l work.Lease) error
}

// BlockIndex is the part of a Catalog about domains and their blocks.
type BlockIndex interface {
	// EnsureDomain stores d unless there is a domain for its (Account, KMSKey), and
	// returns the stored one: of several callers at once, all get the keys of the
	// first.
	EnsureDomain(ctx context.Context, d Domain) (Domain, error)
	// Locate returns where blocks lie. Those that do not exist are absent from the
	// answer; that is no error. A located block may still be deleted before it is
	// named: only Claim protects it.
	Locate(ctx context.Context, ids []block.ID) (map[block.ID]Location, error)
	// Claim is a dedupe hit: it returns those of ids that exist and are not
	// damaged, and takes back their condemnation. The caller may name these blocks
	// instead of storing them again. They stay because the caller's unit is in
	// flight: before gc deletes anything, it waits for every unit that was in
	// flight and then marks from the pages that they registered.
	Claim(ctx context.Context, ids []block.ID) ([]block.ID, error)
	// MarkDamaged notes that a block could not be read at its place; if it has been
	// moved since, or is not known, nothing changes. A damaged block is not a
	// dedupe hit any more; the event that stores it again moves it to where it is
	// whole.
	MarkDamaged(ctx context.Context, id block.ID, at Location) error
}
