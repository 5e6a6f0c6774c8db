package work

import (
	"context"
	"log/slog"
	"sync"
)

// Held is a lease while its job runs.
type Held struct {
	Lease
	Log *slog.Logger

	cancel context.CancelCauseFunc

	mu     sync.Mutex // guards report
	report Reporter
}

// Reporter tells how far a job is with its unit. Its methods are called at
// heartbeats, one after the other, while the job runs.
type Reporter interface {
	// Progress returns how far the unit is.
	Progress() Progress
	// Heard is called when the store has what Progress returned last.
	Heard()
}

// Report makes heartbeats store the progress that rep returns.
func (h *Held) Report(rep Reporter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report = rep
}

// progress returns the reporter's progress, and the function to call when the store
// has it.
func (h *Held) progress() (p Progress, heard func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.report == nil {
		return Progress{}, func() {}
	}
	return h.report.Progress(), h.report.Heard
}
