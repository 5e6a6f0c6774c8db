package compact

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what rewriting packs does. A nil one counts nothing.
type Metrics struct {
	packs      prometheus.Counter
	compressed prometheus.Counter
	encrypted  prometheus.Counter
	freed      prometheus.Counter
	damaged    prometheus.Counter
}

// NewMetrics returns metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "diskport_compact_" + name, Help: help})
	}
	m := &Metrics{
		packs:      counter("packs_total", "Packs that were rewritten."),
		compressed: counter("compressed_blocks_total", "Blocks that were compressed when their packs were rewritten."),
		encrypted:  counter("encrypted_blocks_total", "Blocks that were encrypted under another data key when their packs were rewritten."),
		freed:      counter("freed_bytes_total", "Bytes that rewriting packs gave back."),
		damaged:    counter("damaged_frames_total", "Frames that were left where they are because they are damaged, each time that they were met."),
	}
	reg.MustRegister(m.packs, m.compressed, m.encrypted, m.freed, m.damaged)
	return m
}

func (m *Metrics) ran(r Report) {
	if m == nil {
		return
	}
	m.packs.Add(float64(r.Packs))
	m.compressed.Add(float64(r.Compressed))
	m.encrypted.Add(float64(r.Encrypted))
	m.freed.Add(float64(max(0, r.Freed))) // less than 0 where a damaged frame keeps a pack
	m.damaged.Add(float64(len(r.Damaged)))
}
