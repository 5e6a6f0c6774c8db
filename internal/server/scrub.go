package server

import (
	"time"

	"github.com/diskport/diskport/internal/store/verify"
	"github.com/diskport/diskport/internal/work"
)

// scrub returns the handler of the background verification, unless it is off.
func (a *App) scrub(p *parts) map[work.Kind]work.Handler {
	if a.cfg.ScrubInterval < 0 {
		return nil
	}
	s := &verify.Scrub{Verifier: p.verify, Rounds: p.db.Inventory(), Every: a.cfg.ScrubInterval, Rate: max(0, a.cfg.ScrubRate), Tell: p.scrubbed.tell}
	return s.Handlers()
}

// newScrubMetrics returns the metrics of the background verification: zeros until its duty
// has run.
func newScrubMetrics() *toldGauges[verify.Round] {
	m := &toldGauges[verify.Round]{prefix: "diskport_scrub_", each: scrubGauges}
	m.tell(verify.Round{})
	return m
}

// scrubGauges are the metrics, without diskport_scrub_.
var scrubGauges = []gauge[verify.Round]{
	{"begun_timestamp_seconds", "When the reading of everything began that is under way, or was the last.", func(r verify.Round) int64 { return unixOrZero(r.Begun) }},
	{"ended_timestamp_seconds", "When it ended; 0 while it is under way.", func(r verify.Round) int64 { return unixOrZero(r.Ended) }},
	{"read_bytes", "Bytes that it has read.", func(r verify.Round) int64 { return r.Done.Bytes }},
	{"findings", "What it has found that is damaged.", func(r verify.Round) int64 { return r.Done.Findings }},
	{"healed_blocks", "Blocks that had been damaged and that it could read.", func(r verify.Round) int64 { return r.Done.Healed }},
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
