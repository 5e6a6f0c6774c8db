package gc

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what gc does. A nil one counts nothing.
type Metrics struct {
	runs    *prometheus.CounterVec
	bytes   prometheus.Counter
	blocks  prometheus.Counter
	aside   prometheus.Counter
	damaged prometheus.Gauge
	last    prometheus.Gauge
}

// NewMetrics returns metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "diskport_gc_runs_total", Help: "Cycles of gc, by how they ended: done, or failed.",
		}, []string{"end"}),
		bytes:   prometheus.NewCounter(prometheus.CounterOpts{Name: "diskport_gc_freed_bytes_total", Help: "Bytes of the files that gc has removed."}),
		blocks:  prometheus.NewCounter(prometheus.CounterOpts{Name: "diskport_gc_freed_blocks_total", Help: "Blocks that gc has found dead."}),
		aside:   prometheus.NewCounter(prometheus.CounterOpts{Name: "diskport_gc_set_aside_files_total", Help: "Files that the database does not know, which gc has set aside."}),
		damaged: prometheus.NewGauge(prometheus.GaugeOpts{Name: "diskport_gc_damage", Help: "What the last cycle of gc found damaged, and kept."}),
		last:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "diskport_gc_last_done_timestamp_seconds", Help: "When a cycle of gc was last done; 0: not yet."}),
	}
	reg.MustRegister(m.runs, m.bytes, m.blocks, m.aside, m.damaged, m.last)
	return m
}

func (m *Metrics) ran(r Report, at int64, err error) {
	if m == nil {
		return
	}
	m.bytes.Add(float64(r.Bytes))
	m.blocks.Add(float64(r.Blocks))
	m.aside.Add(float64(len(r.Aside)))
	m.damaged.Set(float64(len(r.Damaged)))
	if err != nil {
		m.runs.WithLabelValues("failed").Inc()
		return
	}
	m.runs.WithLabelValues("done").Inc()
	m.last.Set(float64(at))
}
