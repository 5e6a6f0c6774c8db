// Package image holds the records of machine images, which RegisterImage makes over
// snapshots and DescribeImages reads back. Nothing is booted from an image; it only
// keeps its snapshots from being deleted.
package image

import (
	"context"
	"errors"
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
	Tags           tag.Set   `json:"-"`
}

// Home returns where the image belongs.
func (i Image) Home() awsid.Home { return awsid.Home{Account: i.Account, Region: i.Region} }

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

// Store keeps the records of images. EC2's edge calls it. Every method is one
// transaction, and all may be called concurrently.
type Store interface {
	// Register stores an image with its tags. From then on the snapshots of its
	// account that it names can't be deleted. *NameError when another image of the
	// account has the name in the region; *NoSnapshotError when a snapshot does not
	// exist, is not completed, is of another region, or is one that the account may not
	// use.
	Register(ctx context.Context, i Image) error
	// Deregister removes an image and returns it; its snapshots stay. ErrNotFound.
	Deregister(ctx context.Context, home awsid.Home, id string) (Image, error)
	// List returns at most limit of the images of an account and region that match f,
	// in order of creation, then id, beginning behind after.
	List(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]Image, error)
	// Owned counts the account's images in all regions.
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
