package kms

import (
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/tag"
)

// Ref identifies a key.
type Ref struct {
	Account string `json:"Account"`
	Region  string `json:"Region"`
	ID      string `json:"ID"`
}

// ARN returns the key's ARN.
func (r Ref) ARN() string { return arn(r.Account, r.Region, "key/"+r.ID) }

func arn(account, region, resource string) string {
	return "arn:" + awsid.Partition(region) + ":kms:" + region + ":" + account + ":" + resource
}

// Origin is where a key's material comes from.
type Origin string

// The origins. A key of origin External never gets its material, since there is no
// ImportKeyMaterial here.
const (
	FromKMS  Origin = "AWS_KMS"
	External Origin = "EXTERNAL"
)

// Manager says who manages a key.
type Manager string

// The managers.
const (
	Customer Manager = "CUSTOMER"
	AWS      Manager = "AWS" // made on first use, such as alias/aws/ebs
)

// Key is a key as it is stored.
type Key struct {
	Ref
	Spec        Spec
	Usage       Usage
	Origin      Origin
	Manager     Manager
	State       State
	MultiRegion bool
	Description string
	Policy      string // JSON, with the unique ids of principals
	Created     time.Time
	Deletion    time.Time // zero unless pending deletion
	Window      int       // days between ScheduleKeyDeletion and Deletion
	Tags        tag.Set
	Wrapped     []byte // material of version 1, bound to the ARN; nil if there is none

	Rotations      []Rotation // the versions of the material from 2 on
	RotationPeriod int        // days between automatic rotations; 0: there are none
	NextRotation   time.Time  // automatic one; zero if there are none
}

// RotationType says why a key was rotated, in AWS's words.
type RotationType string

// The types of rotations.
const (
	Automatic RotationType = "AUTOMATIC"
	OnDemand  RotationType = "ON_DEMAND"
)

// Rotation is a version of a key's material that took the place of the one before. Both
// stay: each ciphertext is decrypted with the version that it was encrypted with.
type Rotation struct {
	At      time.Time    `json:"At"`
	Type    RotationType `json:"Type"`
	Wrapped []byte       `json:"Wrapped"` // the material, bound to the ARN and the version
}

// Version returns the version of the material that k encrypts with.
func (k Key) Version() int { return 1 + len(k.Rotations) }

// wrapped returns a version of the material, or nil if there is none.
func (k Key) wrapped(version int) []byte {
	switch {
	case version == 1:
		return k.Wrapped
	case version > 1 && version <= k.Version():
		return k.Rotations[version-2].Wrapped
	}
	return nil
}

// gone reports whether the key's deletion date has passed.
func (k Key) gone(now time.Time) bool { return k.State == PendingDeletion && !now.Before(k.Deletion) }

// Alias is another name for a key of the same account and region.
type Alias struct {
	Account, Region string
	Name            string // alias/…
	Target          string // key id
	Created         time.Time
	Updated         time.Time
}

// ARN returns the alias's ARN.
func (a Alias) ARN() string { return arn(a.Account, a.Region, a.Name) }

// Key returns the key that the alias stands for.
func (a Alias) Key() Ref { return Ref{a.Account, a.Region, a.Target} }
