package bounded

import (
	"errors"
	"sync"

	"github.com/diskport/diskport/diskimage"
)

// maxVerdicts bounds how many faults are remembered, for readers that go on after
// one.
const maxVerdicts = 1000

// Verdicts are what checking the tables of an image found, each of which is
// checked when it is used first. It may be used concurrently.
type Verdicts struct {
	passed Bitset

	mu     sync.Mutex // guards faults, and is held while a table is checked
	faults map[int64]error
}

// NewVerdicts returns Verdicts about n tables, none of which is checked yet.
func NewVerdicts(n int64) *Verdicts {
	return &Verdicts{passed: NewBitset(n), faults: map[int64]error{}}
}

// Passed reports whether table i was checked and is good.
func (v *Verdicts) Passed(i int64) bool { return v.passed.Has(i) }

// Check checks table i unless that was done, and returns what was found. A
// failing source is no verdict: the next reader tries again.
func (v *Verdicts) Check(i int64, check func() error) error {
	if v.Passed(i) {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err, ok := v.faults[i]; ok || v.Passed(i) {
		return err
	}
	err := check()
	if err == nil {
		v.passed.Add(i)
	}
	var fault *diskimage.FormatError
	if errors.As(err, &fault) && len(v.faults) < maxVerdicts {
		v.faults[i] = err
	}
	return err
}
