package work

import (
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what a runner does. A nil one counts nothing.
type Metrics struct {
	units   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewMetrics returns metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		units: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "diskport_units_total",
			Help: "Units of work that this process has stopped doing, by kind and by how that ended: done, retried, waiting, failed, lost, handed back.",
		}, []string{"kind", "end"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "diskport_unit_duration_seconds",
			Help:    "How long this process did a unit of work, whatever its end.",
			Buckets: []float64{.01, .1, .5, 2, 10, 60, 300, 1800},
		}, []string{"kind"}),
	}
	reg.MustRegister(m.units, m.seconds)
	return m
}

// Expect has the units of kinds counted from 0 on: an increase from nothing is none to Prometheus.
func (m *Metrics) Expect(kinds iter.Seq[Kind]) {
	for kind := range kinds {
		for _, how := range []end{done, retried, waiting, failed, lost, handedBack} {
			m.units.WithLabelValues(string(kind), string(how))
		}
	}
}

// end is how this process stopped doing a unit.
type end string

const (
	done       end = "done"
	retried    end = "retried"
	waiting    end = "waiting"
	failed     end = "failed"
	lost       end = "lost"
	handedBack end = "handed back"
)

func (m *Metrics) ended(kind Kind, how end, took time.Duration) {
	if m == nil {
		return
	}
	m.units.WithLabelValues(string(kind), string(how)).Inc()
	m.seconds.WithLabelValues(string(kind)).Observe(took.Seconds())
}
