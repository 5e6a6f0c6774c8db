package importtask

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/tag"
)

// ImageTask is one import of a machine image, from the call that asks for it to its
// end. Each of its disks is a Task, which is planned and ingested as if it made a
// snapshot alone; but all of them end together, in the transaction that registers the
// image, or in the one that cleans up. A disk's State is always the image's.
type ImageTask struct {
	ID      string // "import-ami-" + 17 hex
	Account string
	Region  string // that it was asked for in

	Token         string // client token; empty: none
	RequestDigest string // hash of the request, to tell a replay from a reuse of Token
	Spec          ImageSpec
	Tags          tag.Set

	State     State
	Failure   Failure // while Deleting and Deleted
	ImageID   string  // set when Completed
	Retry     Retry   // of the unit that is about all its disks
	Waiting   Wait    // likewise
	CreatedAt time.Time
	EndedAt   time.Time // zero until Completed or Deleted

	Disks []Task // in order; one for each container until those with several disks are split
}

// Home returns where the task belongs.
func (t ImageTask) Home() awsid.Home { return awsid.Home{Account: t.Account, Region: t.Region} }

// ImageSpec is what was asked for, as it was given. Texts that were not given are empty.
type ImageSpec struct {
	Description           string   `json:"description"`
	Architecture          string   `json:"architecture"`
	BootMode              string   `json:"bootMode"`
	Platform              string   `json:"platform"` // "Windows", "Linux"
	Hypervisor            string   `json:"hypervisor"`
	LicenseType           string   `json:"licenseType"`
	LicenseConfigurations []string `json:"licenseConfigurations"` // ARNs
	UsageOperation        string   `json:"usageOperation"`
	RoleName              string   `json:"roleName"`
	Encrypted             bool     `json:"encrypted"`
	KMSKey                string   `json:"kmsKey"` // of any form; empty: alias/aws/ebs
	Given                 []Given  `json:"given"`
}

// Given is a snapshot that the image is made of, and that was there before.
type Given struct {
	Container   int    `json:"container"` // its number, from 1
	Snapshot    string `json:"snapshot"`
	Device      string `json:"device"` // empty: the next that is free
	Description string `json:"description"`
}

// Place is where a disk comes among those of its image. The zero Place is that of a
// snapshot's import.
type Place struct {
	Container int // its number, from 1
	Disk      int // its number within the container, from 1
}

// compare orders places as the image has them.
func (p Place) compare(o Place) int {
	return cmp.Or(cmp.Compare(p.Container, o.Container), cmp.Compare(p.Disk, o.Disk))
}

// DiskID returns the id of the task of a disk of an image: "import-ami-…/1" for the first
// disk of the first container, "import-ami-…/1.2" for the second.
func DiskID(imageTask string, p Place) string {
	if p.Disk == 1 {
		return fmt.Sprintf("%s/%d", imageTask, p.Container)
	}
	return fmt.Sprintf("%s/%d.%d", imageTask, p.Container, p.Disk)
}

// WholeOf returns the id of what ends together with a task: of a disk of an image, the
// image's task; of any other task, itself.
func WholeOf(task string) string {
	whole, _, _ := strings.Cut(task, "/")
	return whole
}

// URLOwner returns the id of the task for which the Url of a task was wrapped: disks that
// came in one OVA have that of the first.
func URLOwner(task string) string {
	whole, place, _ := strings.Cut(task, "/")
	container, _, several := strings.Cut(place, ".")
	if !several {
		return task
	}
	return whole + "/" + container
}

// MemberName returns the disk's file in its OVA for people to read: no image can control a
// terminal by its name.
func (t Task) MemberName() string { return printable(t.Member) }

func printable(s string) string {
	const most = 100
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Machine is what the OVA that a disk came in says of the machine.
type Machine struct {
	Architecture string `json:"architecture"` // in EC2's words; empty: not said
	BootMode     string `json:"bootMode"`     // likewise
	Guest        string `json:"guest"`        // as it was written
	Empty        int    `json:"empty"`        // disks that it wants to be created empty, which the image lacks
}

// MaxDisks is the most disks of an image: those that have a device name of their own.
const MaxDisks = 26

// DisksError reports an image of more than MaxDisks disks.
type DisksError struct{ Disks int }

func (e *DisksError) Error() string {
	return fmt.Sprintf("importtask: an image of %d disks, and %d is the most", e.Disks, MaxDisks)
}

// Device is one of the disks of an image, imported or given.
type Device struct {
	Name  string // "/dev/sda1"
	Disk  *Task  // nil: Given is set
	Given *Given
}

// Snapshot returns the id of the device's snapshot; empty until it is planned.
func (d Device) Snapshot() string {
	if d.Given != nil {
		return d.Given.Snapshot
	}
	return d.Disk.SnapshotID
}

// Devices returns the image's disks in order, with their device names. A name that was
// not asked for, or that an earlier one has, is the next that is free.
func (t ImageTask) Devices() []Device {
	type placed struct {
		Device
		Place
	}
	var all []placed
	for i := range t.Disks {
		d := &t.Disks[i]
		all = append(all, placed{Device{Name: d.Device, Disk: d}, d.Place})
	}
	for i := range t.Spec.Given {
		g := &t.Spec.Given[i]
		all = append(all, placed{Device{Name: g.Device, Given: g}, Place{g.Container, 1}})
	}
	slices.SortFunc(all, func(a, b placed) int { return a.compare(b.Place) })
	taken := map[string]bool{} // by image.DeviceKey
	for i := range all {
		name := &all[i].Name
		if key := image.DeviceKey(*name); taken[key] {
			*name = ""
		} else {
			taken[key] = true
		}
	}
	devices := make([]Device, len(all))
	for i, d := range all {
		if d.Name == "" {
			d.Name = freeName(i, taken)
			taken[image.DeviceKey(d.Name)] = true
		}
		devices[i] = d.Device
	}
	return devices
}

// freeName returns the first device name that is not taken, of those that AWS gives the
// i-th disk and later ones.
func freeName(i int, taken map[string]bool) string {
	for ; ; i++ {
		if name := deviceName(i); !taken[image.DeviceKey(name)] {
			return name
		}
	}
}

// deviceName returns the name that AWS gives the i-th disk: /dev/sda1, /dev/sdb, …
func deviceName(i int) string {
	if i == 0 {
		return "/dev/sda1"
	}
	letters := ""
	for ; i >= 0; i = i/26 - 1 {
		letters = string(rune('a'+i%26)) + letters
	}
	return "/dev/sd" + letters
}

// Machine returns what is known of the machine: what was asked for, else what the first
// OVA that says it says. The architecture is x86_64 where nothing does.
func (t ImageTask) Machine() Machine {
	m := Machine{Architecture: t.Spec.Architecture, BootMode: t.Spec.BootMode}
	for _, d := range t.Disks {
		m.Architecture = cmp.Or(m.Architecture, d.Machine.Architecture)
		m.BootMode = cmp.Or(m.BootMode, d.Machine.BootMode)
		m.Guest = cmp.Or(m.Guest, d.Machine.Guest)
		m.Empty += d.Machine.Empty
	}
	m.Architecture = cmp.Or(m.Architecture, "x86_64")
	return m
}

// Phase returns the phase of the disk that is furthest from its end. An image of given
// snapshots alone waits to be registered.
func (t ImageTask) Phase() Phase {
	if len(t.Disks) == 0 {
		return Waiting
	}
	least := Completing
	for _, d := range t.Disks {
		if order(d.Phase) < order(least) {
			least = d.Phase
		}
	}
	return least
}

// order is how far a phase is from the beginning.
func order(p Phase) int {
	return slices.Index([]Phase{Waiting, Validating, Validated, Converting, Completing}, p)
}

// Total returns the bytes of data of the disks that are planned, and what has been done.
func (t ImageTask) Total() (bytes int64, done Counts) {
	for _, d := range t.Disks {
		bytes += d.Bytes()
		done.Add(d.Counts)
	}
	return bytes, done
}

// Note says what the import of an image does not do, for everybody to see who expects
// what AWS does.
const Note = "The guest was imported as it is: no operating system was looked at, no driver and no software was installed."
