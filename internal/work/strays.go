package work

import (
	"fmt"
	"sync/atomic"
)

// Strays are the steps that a process has left behind, since they look into an image and do
// not return (Within): each keeps its memory and perhaps a core. One that returns after all
// is none any more. A Strays may be used concurrently; a nil one has no bound.
type Strays struct {
	most int64
	now  atomic.Int64
}

// NewStrays returns Strays of which there may be this many. No step begins while there are;
// those that are under way then may still become some.
func NewStrays(most int) *Strays { return &Strays{most: int64(most)} }

// Now returns how many there are.
func (s *Strays) Now() int { return int(s.now.Load()) }

// Most returns of how many no further step begins.
func (s *Strays) Most() int { return int(s.most) }

// Full returns nil if a step may begin, else a *StraysError.
func (s *Strays) Full() error {
	if s == nil {
		return nil
	}
	if n := s.now.Load(); n >= s.most {
		return &StraysError{Now: int(n), Most: int(s.most)}
	}
	return nil
}

func (s *Strays) add(n int64) {
	if s != nil {
		s.now.Add(n)
	}
}

// StraysError reports a step that was not begun, since too many have been left behind.
type StraysError struct{ Now, Most int }

// Error says what there is too much of, and how to go on.
func (e *StraysError) Error() string {
	return fmt.Sprintf("%d steps that look into images do not come to an end, and no more begin while there are %d: restart the service", e.Now, e.Most)
}
