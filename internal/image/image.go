// Package image holds the records of machine images, which RegisterImage makes over
// snapshots and DescribeImages reads back. Nothing is booted from an image; it only
// keeps its snapshots from being deleted.
package image

import (
	"context"
	"errors"
	"time"

	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

// Image is a registered machine image. Texts are as they were given; those that
// were not given are empty.
type Image struct {
	ID             string    `json:"ID"` // "ami-0" + 16 hex
	Account        string    `json:"Account"`
	Name           string    `json:"Name"` // one of the account's images has it
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
	Tags           tag.Set   `json:"-"`
}

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

// ErrNotFound reports an image that does not exist or belongs to another account.
var ErrNotFound = errors.New("image: not found")

// NameError reports a name that another image of the account has.
type NameError struct{ Name, ID string }

func (e *NameError) Error() string { return "image: " + e.ID + " has the name " + e.Name }

// Store keeps the records of images. EC2's edge calls it. Every method is one
// transaction, and all may be called concurrently.
type Store interface {
	// Register stores an image with its tags. From then on the snapshots of its
	// account that it names can't be deleted. *NameError when another image of the
	// account has the name; *NoSnapshotError when a snapshot does not exist, is not
	// completed, or is one that the account may not use.
	Register(ctx context.Context, i Image) error
	// Deregister removes an image of the account and returns it; its snapshots
	// stay. ErrNotFound.
	Deregister(ctx context.Context, account, id string) (Image, error)
	// List returns at most limit of the account's images that match f, in order of
	// creation, then id, beginning behind after.
	List(ctx context.Context, account string, f Filter, after listing.Place, limit int) ([]Image, error)
	// Owned counts the account's images.
	Owned(ctx context.Context, account string) (int, error)
}

// Filter narrows a list of images. A nil field matches all of them.
type Filter struct {
	IDs   []string
	Names []string
}

// NoSnapshotError reports a device whose snapshot can't be used.
type NoSnapshotError struct{ ID string }

func (e *NoSnapshotError) Error() string { return "image: no snapshot " + e.ID }
