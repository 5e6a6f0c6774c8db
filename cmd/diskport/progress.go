package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/diskport/diskport/internal/client"
)

// progress shows how far a long operation is: as a bar on a terminal, as lines
// elsewhere. Its methods may be called concurrently.
type progress struct {
	show shower

	mu    sync.Mutex // guards what follows
	start time.Time  // of the stage: when the one before was last heard of
	heard time.Time
	last  state
}

// state is how far a long operation is.
type state struct {
	stage       string
	done, total int64 // bytes; total is 0 while unknown
	perSecond   float64
	detail      string
}

// shower shows states to the user.
type shower interface {
	show(s state)
	end()
}

func (a *app) newProgress(name string) *progress {
	p := &progress{heard: time.Now()}
	if isTerminal(a.stderr) {
		p.show = newBar(a.stderr, name)
	} else {
		p.show = &lines{w: a.stderr, name: name}
	}
	return p
}

// step notes that done of total bytes of a stage are done.
func (p *progress) step(stage string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if stage != p.last.stage {
		p.start = p.heard
	}
	p.heard = time.Now()
	p.last = state{stage: stage, done: done, total: total, perSecond: float64(done) / max(p.heard.Sub(p.start).Seconds(), 1e-3)}
	p.show.show(p.last)
}

// task notes how far an import task is.
func (p *progress) task(t client.Task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = time.Now()
	p.last = state{
		stage:     t.Phase,
		done:      t.Progress.DoneBytes,
		total:     t.Progress.TotalBytes,
		perSecond: t.Progress.BytesPerSecond,
		detail:    blockCounts(t.Progress.Blocks),
	}
	if t.Retry != nil {
		p.last.stage = "retrying: " + t.Retry.Cause
	}
	if t.Waiting != nil {
		p.last.stage = "waiting for " + t.Waiting.For
	}
	if t.Phase == "" {
		p.last.stage = t.Status
	}
	p.show.show(p.last)
}

// end leaves the screen as it is.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.show.end()
}

// eta is the time that is left at the speed so far; 0 while unknown.
func (s state) eta() time.Duration {
	if s.perSecond <= 0 || s.total <= s.done {
		return 0
	}
	return time.Duration(float64(s.total-s.done) / s.perSecond * float64(time.Second)).Round(time.Second)
}

func (s state) percent() int64 {
	if s.total == 0 {
		return 0
	}
	return min(100, 100*s.done/s.total)
}

// bar is a progress bar on a terminal.
type bar struct {
	mu       sync.Mutex // guards now
	now      state
	progress *mpb.Progress
	bar      *mpb.Bar
}

func newBar(w io.Writer, name string) *bar {
	b := &bar{progress: mpb.New(mpb.WithOutput(w), mpb.WithRefreshRate(100*time.Millisecond))}
	text := func(f func(state) string) decor.Decorator {
		return decor.Any(func(decor.Statistics) string {
			b.mu.Lock()
			defer b.mu.Unlock()
			return f(b.now)
		})
	}
	b.bar = b.progress.AddBar(0,
		mpb.PrependDecorators(decor.Name(name+" "), text(func(s state) string { return s.stage + " " })),
		mpb.AppendDecorators(text(func(s state) string {
			line := fmt.Sprintf("%3d%% %s", s.percent(), rate(s.perSecond))
			if eta := s.eta(); eta > 0 {
				line += " ETA " + eta.String()
			}
			if s.detail != "" {
				line += "  " + s.detail
			}
			return line
		})),
	)
	return b
}

func (b *bar) show(s state) {
	b.mu.Lock()
	b.now = s
	b.mu.Unlock()
	b.bar.SetTotal(max(s.total, 1), false)
	b.bar.SetCurrent(s.done)
}

func (b *bar) end() {
	if !b.bar.Completed() {
		b.bar.Abort(false) // leaves the bar as it is
	}
	b.progress.Wait()
}

// lines is progress for a log: a line for each stage, and for every tenth of
// it or so.
type lines struct {
	w    io.Writer
	name string

	stage string
	shown int64 // tenths of the stage that were shown
}

func (l *lines) show(s state) {
	tenth := s.percent() / 10
	if s.stage == l.stage && tenth == l.shown {
		return
	}
	l.stage, l.shown = s.stage, tenth
	line := l.name + ": " + s.stage
	if s.done > 0 {
		line += fmt.Sprintf(" %d%% %s", s.percent(), rate(s.perSecond))
	}
	_, _ = fmt.Fprintln(l.w, line)
}

func (l *lines) end() {}
