// Package volume holds the records of volumes, which CreateVolume makes over snapshots,
// or empty, and CreateSnapshot makes snapshots of. Nothing attaches a volume, so nothing
// writes to one: a volume made from a snapshot reads as that does, for ever, and costs
// nothing. It holds the snapshot's root, so the snapshot can be deleted.
package volume

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

// Volume is what is known of a volume.
type Volume struct {
	ID       string // "vol-0" + 16 hex
	Account  string
	Region   string
	Zone     string // name of an availability zone of the region
	Settings Settings
	Snapshot string // that it was made from, which may be gone; empty: none
	KMSKey   string // ARN; empty: not encrypted
	Created  time.Time
	Token    string // the client's, of the call that made it
	Digest   string // of that call's parameters
	Tags     tag.Set
	Modified *Modification // the last; nil: never
}

// Home returns where the volume belongs.
func (v Volume) Home() awsid.Home { return awsid.Home{Account: v.Account, Region: v.Region} }

// Settings are what a volume can be changed to.
type Settings struct {
	Size        int64  `json:"size"` // GiB
	Type        string `json:"type"` // "gp3", …
	Iops        int64  `json:"iops"`
	Throughput  int64  `json:"throughput"` // MiB/s
	MultiAttach bool   `json:"multiAttach"`
}

// Modification is a change of settings, which takes no time.
type Modification struct {
	From Settings  `json:"from"`
	To   Settings  `json:"to"`
	At   time.Time `json:"at"`
}

// ErrNotFound reports a volume that does not exist, or belongs to another account or
// region.
var ErrNotFound = errors.New("volume: not found")

// ErrNoSnapshot reports a volume whose snapshot is gone, or not completed.
var ErrNoSnapshot = errors.New("volume: no such snapshot")

// ErrShrinks reports a change that would make a volume smaller.
var ErrShrinks = errors.New("volume: a volume can't be made smaller")

// ErrLost reports a volume whose data is gone: nothing held it, and gc has freed it.
var ErrLost = errors.New("volume: its data is lost")

// Store keeps the records of volumes. Every method is one transaction, and all may be
// called concurrently. A volume of another account or region is ErrNotFound.
type Store interface {
	// Create stores a volume with its tags, and holds the root of its snapshot, which is in
	// the volume's region, until the volume is deleted. When the account already has a
	// volume with the same Token in the region, Create returns that one, and created is
	// false; the caller compares the Digest. ErrNoSnapshot.
	Create(ctx context.Context, v Volume) (stored Volume, created bool, err error)
	// List returns at most limit of the volumes of an account and region that match f, in
	// order of creation, then id, beginning behind after.
	List(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]Volume, error)
	// Modify changes a volume from the settings that it has to others, and returns it.
	// ErrShrinks, ErrNotFound, ErrChanged if it has other settings than from.
	Modify(ctx context.Context, home awsid.Home, id string, m Modification) (Volume, error)
	// Delete removes a volume, and lets go of what it holds.
	Delete(ctx context.Context, home awsid.Home, id string) error
	// Owned counts the account's volumes in all regions.
	Owned(ctx context.Context, account string) (int, error)
}

// ErrChanged reports settings that another call has changed meanwhile.
var ErrChanged = errors.New("volume: changed meanwhile")

// Filter narrows a list of volumes. A nil field matches all of them.
type Filter struct {
	IDs    []string
	Tokens []string
}
