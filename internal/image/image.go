// Package image holds the records of machine images, which RegisterImage makes over
// snapshots, CopyImage over copies of them, and DescribeImages reads back. Nothing is
// booted from an image; it only keeps its snapshots from being deleted.
package image

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

// Image is a registered machine image. Texts are as they were given; those that
// were not given are empty.
type Image struct {
	ID             string    `json:"ID"` // "ami-0" + 16 hex
	Account        string    `json:"Account"`
	Region         string    `json:"-"`    // that it was registered in
	Name           string    `json:"Name"` // one of the account's images in the region has it
	Description    string    `json:"Description"`
	Architecture   string    `json:"Architecture"`
	RootDevice     string    `json:"RootDevice"`
	Virtualization string    `json:"Virtualization"`
	SriovNet       string    `json:"SriovNet"`
	BootMode       string    `json:"BootMode"`
	TpmSupport     string    `json:"TpmSupport"`
	ImdsSupport    string    `json:"ImdsSupport"`
	EnaSupport     bool      `json:"EnaSupport"`
	Devices        []Device  `json:"Devices"`
	Created        time.Time `json:"Created"`

	Location        string   `json:"Location"`
	Kernel          string   `json:"Kernel"`   // "aki-…"
	Ramdisk         string   `json:"Ramdisk"`  // "ari-…"
	UefiData        string   `json:"UefiData"` // non-volatile UEFI variables, in base64
	BillingProducts []string `json:"BillingProducts"`
	SourceImage     string   `json:"SourceImage"` // that it is a copy of
	SourceRegion    string   `json:"SourceRegion"`
	Platform        string   `json:"Platform"`       // "Windows"; anything else is Linux
	UsageOperation  string   `json:"UsageOperation"` // "RunInstances:0002"; empty: that of Linux

	Tags           tag.Set    `json:"-"`
	Deprecated     time.Time  `json:"-"` // from when on others do not find it; zero: never
	Protection     Protection `json:"-"`
	ProtectedUntil time.Time  `json:"-"` // end of a cooldown; zero: none
	Token          string     `json:"-"` // the client's, of the call that made a copy
	Digest         string     `json:"-"` // of that call's parameters

	// These are not stored with the image: they follow from its snapshots and shares.
	State      State    `json:"-"`
	Reason     string   `json:"-"` // why it failed
	Public     bool     `json:"-"`
	SharedWith []string `json:"-"` // accounts, or Everybody; only Get fills it in
}

// Home returns where the image belongs.
func (i Image) Home() awsid.Home { return awsid.Home{Account: i.Account, Region: i.Region} }

// UsableBy reports whether an account may see and copy the image, which Get returned.
func (i Image) UsableBy(account string) bool {
	return i.Account == account || slices.Contains(i.SharedWith, account) || slices.Contains(i.SharedWith, Everybody)
}

// Everybody makes an image public, when it is among the accounts that it is shared with.
const Everybody = "all"

// MaxShares is the most accounts that an image can be shared with.
const MaxShares = 1000

// State is an image's state, in AWS's words.
type State string

// The states. An image is pending while one of its snapshots is, and failed once one of
// them is in error.
const (
	Pending   State = "pending"
	Available State = "available"
	Failed    State = "failed"
)

// Protection is whether an image is protected from being deregistered, in AWS's words.
type Protection string

// The protections. Cooldown keeps the image protected for CooldownFor after its end.
const (
	Unprotected Protection = ""
	Protected   Protection = "enabled-without-cooldown"
	Cooldown    Protection = "enabled-with-cooldown"
)

// CooldownFor is how long a protection with cooldown outlives its end.
const CooldownFor = 24 * time.Hour

// Device is one entry of an image's block device mapping.
type Device struct {
	Name                string `json:"Name"`
	VirtualName         string `json:"VirtualName"`
	Snapshot            string `json:"Snapshot"`   // empty: an empty volume, or none
	VolumeSize          int64  `json:"VolumeSize"` // GiB
	VolumeType          string `json:"VolumeType"`
	Iops                int64  `json:"Iops"`
	Throughput          int64  `json:"Throughput"`
	DeleteOnTermination bool   `json:"DeleteOnTermination"`
	Encrypted           bool   `json:"Encrypted"`
}

// ErrNotFound reports an image that does not exist, or belongs to another account or
// region.
var ErrNotFound = errors.New("image: not found")

// NameError reports a name that another image of the account has in the region.
type NameError struct{ Name, ID string }

func (e *NameError) Error() string { return "image: " + e.ID + " has the name " + e.Name }

// ErrTooManyShares reports an image that would be shared with more than MaxShares
// accounts.
var ErrTooManyShares = errors.New("image: shared with too many accounts")

// ProtectedError reports an image that is protected from being deregistered.
type ProtectedError struct {
	ID    string
	Until time.Time // end of the cooldown; zero: until the protection is ended
}

func (e *ProtectedError) Error() string {
	return "image: " + e.ID + " is protected from deregistration"
}

// Store keeps the records of images. EC2's edge calls it. Every method is one
// transaction, and all may be called concurrently. Copies are made by snapshot.Drafts.
type Store interface {
	// Register stores an image with its tags. From then on the snapshots of its
	// account that it names can't be deleted. *NameError when another image of the
	// account has the name in the region; *NoSnapshotError when a snapshot does not
	// exist, is not completed, is of another region, or is one that the account may not
	// use.
	Register(ctx context.Context, i Image) error
	// Deregister removes an image and returns it; its snapshots stay. ErrNotFound,
	// *ProtectedError.
	Deregister(ctx context.Context, home awsid.Home, id string) (Image, error)
	// Get returns an image of a region, of any account, with its tags and with whom it is
	// shared; whether the caller may see it is for the caller to check (Image.UsableBy).
	// ErrNotFound.
	Get(ctx context.Context, region, id string) (Image, error)
	// List returns at most limit of the images of the region that the account may use and
	// that match f, in order of creation, then id, beginning behind after. Those of other
	// accounts come without tags.
	List(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]Image, error)
	// Owned counts the account's images in all regions.
	Owned(ctx context.Context, account string) (int, error)
}

// Changes are what an account can do to its own images in a region. An image of another
// account or region is ErrNotFound. Every method is one transaction, and all may be called
// concurrently.
type Changes interface {
	// Modify sets attributes.
	Modify(ctx context.Context, home awsid.Home, id string, a Attributes) error
	// Deprecate makes an image one that others do not find from a time on; the zero time
	// takes that back.
	Deprecate(ctx context.Context, home awsid.Home, id string, at time.Time) error
	// Protect protects an image from being deregistered. Unprotected ends that, after the
	// cooldown if there is one, and leaves a cooldown that has begun as it is. The image
	// is returned as it is then.
	Protect(ctx context.Context, home awsid.Home, id string, p Protection) (Image, error)
	// Share lets the accounts in add use an image, and those in remove no longer. Adding
	// an account that has it, or removing one that has not, is no error.
	// ErrTooManyShares when it would be shared with more than MaxShares; then nothing
	// changes.
	Share(ctx context.Context, home awsid.Home, id string, add, remove []string) error
	// Unshare makes an image private.
	Unshare(ctx context.Context, home awsid.Home, id string) error
}

// Attributes are what can be changed of an image's record. A nil field stays.
type Attributes struct {
	Description *string
	ImdsSupport *string
}

// Filter narrows a list of images. A nil field matches all of them.
type Filter struct {
	IDs          []string
	Names        []string
	Owners       []string  // accounts
	ExecutableBy []string  // accounts, or Everybody, that it is shared with, as far as the account may know
	OfferedAt    time.Time // leaves out what others have deprecated by then; zero: nothing
}

// DeviceKey returns what a device is known by, whichever way it is written: sda1 is
// /dev/sda1.
func DeviceKey(name string) string { return strings.TrimPrefix(name, "/dev/") }

// NoSnapshotError reports a device whose snapshot can't be used.
type NoSnapshotError struct{ ID string }

func (e *NoSnapshotError) Error() string { return "image: no snapshot " + e.ID }
