package importtask

import (
	"encoding/json"
	"sync"

	"github.com/diskport/diskport/internal/work"
)

// Live is what the units that a node works on have done since their last
// heartbeats, to be added to the store's counts for a live view. Its methods may be
// called concurrently; the zero value is ready.
type Live struct {
	mu     sync.Mutex // guards meters
	meters map[*meter]bool
}

// begin returns the meter of a unit of the task, until end. reached is how far an earlier
// claim has got with it, and changed is called when the store shows more than before.
func (l *Live) begin(task string, reached int64, changed func()) *meter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.meters == nil {
		l.meters = map[*meter]bool{}
	}
	m := &meter{task: task, reached: reached, changed: changed}
	l.meters[m] = true
	return m
}

func (l *Live) end(m *meter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.meters, m)
}

// Unheard returns what this node has done for a task and the store has not been
// told yet.
func (l *Live) Unheard(task string) (c Counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m := range l.meters {
		if m.task == task {
			c.Add(m.unheard())
		}
	}
	return c
}

// meter counts what one unit does.
type meter struct {
	task    string
	reached int64  // Done that the store shows of an earlier claim, until there is more
	changed func() // called without mu

	mu     sync.Mutex    // guards what follows
	done   Counts        // so far, without what stored returns
	stored func() Counts // what became of the blocks so far; may be nil
	told   Counts        // what Progress returned last
	heard  Counts        // what the store knows
}

var _ work.Reporter = (*meter)(nil)

// add adds to what the unit has done so far.
func (m *meter) add(c Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done.Add(c)
}

// watch makes stored part of the unit's counts.
func (m *meter) watch(stored func() Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored = stored
}

func (m *meter) counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum()
}

// sum needs mu.
func (m *meter) sum() Counts {
	c := m.done
	if m.stored != nil {
		c.Add(m.stored())
	}
	return c
}

func (m *meter) unheard() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.heard.Done < m.reached {
		return Counts{Done: max(0, m.sum().Done-m.reached)} // the rest is not comparable
	}
	return m.sum().Sub(m.heard)
}

// Progress implements work.Reporter.
func (m *meter) Progress() work.Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = m.sum()
	data, _ := json.Marshal(m.told) // plain numbers: cannot fail
	return work.Progress{Done: m.told.Done, Data: data}
}

// Heard implements work.Reporter.
func (m *meter) Heard() {
	m.mu.Lock()
	more := m.told != m.heard && m.told.Done >= m.reached
	m.heard = m.told
	m.mu.Unlock()
	if more {
		m.changed()
	}
}
