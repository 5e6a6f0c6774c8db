// Package awsid makes and recognises the identifiers that AWS clients see: task
// and snapshot ids, request ids, regions and ARNs.
package awsid

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"

	"github.com/google/uuid"
)

// Source makes new ids. Its zero value is ready; Rand may be set by tests.
type Source struct {
	// Rand fills its argument with random bytes; nil means crypto/rand.
	Rand func([]byte)
}

// Task returns a new import task id.
func (s Source) Task() string { return "import-snap-" + s.hex(17) }

// ImageTask returns a new id of an import of a machine image.
func (s Source) ImageTask() string { return "import-ami-" + s.hex(17) }

// Snapshot returns a new snapshot id. Its first digit is 0, because EBS direct
// clients treat other ids as opaque.
func (s Source) Snapshot() string { return "snap-0" + s.hex(16) }

// Image returns a new machine image id.
func (s Source) Image() string { return "ami-0" + s.hex(16) }

// Volume returns a new volume id.
func (s Source) Volume() string { return "vol-0" + s.hex(16) }

// Domain returns a new dedupe domain id.
func (s Source) Domain() string { return "dom-" + s.hex(17) }

// Int63 returns a new positive number, for rows and files whose ids are never
// used again.
func (s Source) Int63() int64 {
	var b [8]byte
	s.fill(b[:])
	var n int64
	for _, x := range b {
		n = n<<8 | int64(x)
	}
	return n&(1<<63-1) | 1
}

func (s Source) hex(n int) string {
	b := make([]byte, (n+1)/2)
	s.fill(b)
	return hex.EncodeToString(b)[:n]
}

func (s Source) fill(b []byte) {
	if s.Rand != nil {
		s.Rand(b)
		return
	}
	_, _ = rand.Read(b) // never fails: it ends the process instead
}

// Request returns a new request id.
func Request() string { return uuid.NewString() }

var (
	taskID     = regexp.MustCompile(`^import-snap-[0-9a-z]{8}([0-9a-z]{9})?$`)
	imageTask  = regexp.MustCompile(`^import-ami-[0-9a-z]{8}([0-9a-z]{9})?$`)
	imageID    = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)
	volumeID   = regexp.MustCompile(`^vol-([0-9a-f]{8}|[0-9a-f]{17})$`)
	snapshotID = regexp.MustCompile(`^snap-([0-9a-f]{8}|[0-9a-f]{17})$`)
)

// IsTask reports whether s has the shape of the id of an import of a snapshot.
func IsTask(s string) bool { return taskID.MatchString(s) }

// IsImageTask reports whether s has the shape of the id of an import of a machine image.
func IsImageTask(s string) bool { return imageTask.MatchString(s) }

// IsSnapshot reports whether s has the shape of a snapshot id.
func IsSnapshot(s string) bool { return snapshotID.MatchString(s) }

// IsImage reports whether s has the shape of a machine image id.
func IsImage(s string) bool { return imageID.MatchString(s) }

// IsVolume reports whether s has the shape of a volume id.
func IsVolume(s string) bool { return volumeID.MatchString(s) }

// VolumeARN names a volume for authorisation.
func VolumeARN(home Home, id string) string {
	return "arn:" + Partition(home.Region) + ":ec2:" + home.Region + ":" + home.Account + ":volume/" + id
}

// TaskARN names an import task for authorisation.
func TaskARN(home Home, id string) string {
	return "arn:" + Partition(home.Region) + ":ec2:" + home.Region + ":" + home.Account + ":import-snapshot-task/" + id
}

// ImageTaskARN names an import of a machine image for authorisation.
func ImageTaskARN(home Home, id string) string {
	return "arn:" + Partition(home.Region) + ":ec2:" + home.Region + ":" + home.Account + ":import-image-task/" + id
}

// SnapshotARN names a snapshot for authorisation; it carries no account.
func SnapshotARN(region, id string) string {
	return "arn:" + Partition(region) + ":ec2:" + region + "::snapshot/" + id
}

// ImageARN names a machine image for authorisation; it carries no account.
func ImageARN(region, id string) string {
	return "arn:" + Partition(region) + ":ec2:" + region + "::image/" + id
}
