package source

import (
	"encoding/json"
	"fmt"
	"time"
)

// Pin names bytes that stay as they are, and holds what is needed to detect that
// they have not. As text it is part of the task's row.
type Pin struct {
	Kind       Kind   `json:"Kind"`
	ID         string `json:"ID"`
	Bucket     string `json:"Bucket"`        // Embedded, to show; Foreign
	Key        string `json:"Key"`           // Embedded, to show; Foreign
	ETag       string `json:"ETag"`          // Embedded, Foreign; with quotation marks
	Size       int64  `json:"Size"`          // bytes
	Modified   int64  `json:"Modified"`      // Unix nanoseconds
	Path       string `json:"Path"`          // Handover: what it is called, for people
	Inode      string `json:"Inode"`         // Handover: device and inode
	Process    string `json:"Process"`       // Handover: the process that has it open
	Version    string `json:"ObjectVersion"` // Foreign: of the object; empty where it has none
	Account    string `json:"Account"`       // Foreign: whose role reads it
	Role       string `json:"Role"`          // Foreign: its name
	Region     string `json:"Region"`        // Foreign: of the import; empty in older pins
	WrappedURL string `json:"WrappedURL"`    // Foreign: what reads it instead of the role; bound to ID; base64
}

func (p Pin) modTime() time.Time { return time.Unix(0, p.Modified) }

// String returns the Pin as ParsePin reads it.
func (p Pin) String() string {
	text, err := json.Marshal(stored{pinVersion, p})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}

// pinVersion is the version of a Pin's text. The rule is that of package metadb's
// JSON columns: a field may be added whose absence and loss harm nothing; whatever
// else changes makes another version, which programs that don't know it refuse.
const pinVersion = 1

// stored is a Pin's text: a version, and the fields, none of which has that name.
type stored struct {
	Version int `json:"Version"`
	Pin
}

// ParsePin reads what String returned.
func ParsePin(text string) (Pin, error) {
	var s stored
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return Pin{}, fmt.Errorf("reading a pin: %w", err)
	}
	if s.Version != pinVersion {
		return Pin{}, fmt.Errorf("reading a pin: it is of version %d, and this program knows version %d", s.Version, pinVersion)
	}
	if s.Size < 0 {
		return Pin{}, fmt.Errorf("reading a pin: an object of %d bytes", s.Size)
	}
	return s.Pin, nil
}
