package importtask

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/block"
)

// Metrics count what this node does for imports. A nil one counts nothing.
type Metrics struct {
	ended  *prometheus.CounterVec
	blocks *prometheus.CounterVec
	stored prometheus.Counter
	dealt  prometheus.Counter
}

// NewMetrics returns metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "diskport_imports_total",
			Help: "Disks whose import this process has ended, by the reason that it failed for: none if it completed, cancelled if its user ended it.",
		}, []string{"reason"}),
		blocks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "diskport_import_blocks_total",
			Help: "Blocks of 512 KiB that imports have dealt with: stored, deduplicated because they were stored already, zero and so not stored.",
		}, []string{"as"}),
		stored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "diskport_import_stored_bytes_total",
			Help: "Bytes that imports have added to the store.",
		}),
		dealt: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "diskport_import_data_bytes_total",
			Help: "Bytes of the disks' data that imports have dealt with.",
		}),
	}
	for _, reason := range serverReasons { // an increase from nothing is none to Prometheus
		m.ended.WithLabelValues(reason)
	}
	reg.MustRegister(m.ended, m.blocks, m.stored, m.dealt)
	return m
}

// completed counts the disks of a task that has completed.
func (m *Metrics) completed(disks int) {
	if m != nil {
		m.ended.WithLabelValues("none").Add(float64(disks))
	}
}

// failed counts a disk whose import has failed, or was cancelled. Reasons come from a
// table.
func (m *Metrics) failed(reason string) {
	if m != nil {
		m.ended.WithLabelValues(reason).Inc()
	}
}

// finished counts the blocks of a slice whose counts are in the database.
func (m *Metrics) finished(c Counts) {
	if m == nil {
		return
	}
	m.blocks.WithLabelValues("stored").Add(float64(c.Data - c.Deduplicated))
	m.blocks.WithLabelValues("deduplicated").Add(float64(c.Deduplicated))
	m.blocks.WithLabelValues("zero").Add(float64(c.Zero))
	m.stored.Add(float64(c.Stored))
	m.dealt.Add(float64((c.Data + c.Zero) * block.Size))
}
