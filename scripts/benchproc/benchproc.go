// Package benchproc reads from /proc what a process that is measured has used.
package benchproc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Tick is the unit of the times in /proc.
const Tick = 10 * time.Millisecond

// Process is a running process, by its id.
type Process int

func (p Process) file(name string) string { return fmt.Sprintf("/proc/%d/%s", int(p), name) }

// CPU returns the user and system time that the process has used.
func (p Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(p.file("stat"))
	if err != nil {
		return 0, err
	}
	// The name, in brackets, may hold anything; behind it, user and system time are
	// fields 12 and 13.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	user, err := strconv.Atoi(string(fields[11]))
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(string(fields[12]))
	return time.Duration(user+system) * Tick, err
}

// Forget makes what the process has resident now its peak.
func (p Process) Forget() error { return os.WriteFile(p.file("clear_refs"), []byte("5"), 0o200) }

// Resident returns how many bytes the process has resident.
func (p Process) Resident() (int64, error) { return p.status("VmRSS:") }

// Peak returns the most bytes that the process had resident, since Forget if that was called.
func (p Process) Peak() (int64, error) { return p.status("VmHWM:") }

func (p Process) status(field string) (int64, error) {
	text, err := os.ReadFile(p.file("status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", p.file("status"), field)
}
