package source

import (
	"encoding/json"
	"fmt"
	"time"
)

// Pin names bytes that stay as they are, and says how to see whether they did.
// As text it is part of the task's row.
type Pin struct {
	Kind        Kind
	ID          string
	Bucket, Key string // Embedded, to show; Foreign
	ETag        string // Embedded, Foreign; with quotation marks
	Size        int64  // bytes
	Modified    int64  // Unix nanoseconds
	Path        string // Handover
	Inode       string // Handover: device and inode
	Process     string // Handover: who holds it
	Version     string // Foreign: of the object; empty where it has none
	Account     string // Foreign: whose role reads it
	Role        string // Foreign: its name
	WrappedURL  string // Foreign: what reads it instead of the role; bound to ID; base64
}

func (p Pin) modTime() time.Time { return time.Unix(0, p.Modified) }

// String returns the Pin as ParsePin reads it.
func (p Pin) String() string {
	text, err := json.Marshal(stored{1, p})
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}

// stored is a Pin's text: a version, and the fields.
type stored struct {
	Version int
	Pin
}

// ParsePin reads what String returned.
func ParsePin(text string) (Pin, error) {
	var s stored
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return Pin{}, fmt.Errorf("reading a pin: %w", err)
	}
	if s.Version != 1 || s.Size < 0 {
		return Pin{}, fmt.Errorf("reading a pin: unknown version %d", s.Version)
	}
	return s.Pin, nil
}
