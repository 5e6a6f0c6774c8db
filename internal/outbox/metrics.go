package outbox

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what a receiver is sent. A nil one counts nothing.
type Metrics struct{ events *prometheus.CounterVec }

// NewMetrics returns metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "diskport_webhook_events_total",
		Help: "Events that this process has sent to the receiver, by what became of them: told, refused (never to be sent again), untaken (to be sent again), forgotten (after a week).",
	}, []string{"end"})}
	for _, how := range []end{told, refused, untaken, forgotten} {
		m.events.WithLabelValues(string(how))
	}
	reg.MustRegister(m.events)
	return m
}

// end is what became of an event that was sent.
type end string

const (
	told    end = "told"
	refused end = "refused"
	untaken end = "untaken"

	forgotten end = "forgotten" // it was not sent any more
)

func (m *Metrics) sent(how end) {
	if m != nil {
		m.events.WithLabelValues(string(how)).Inc()
	}
}

func (m *Metrics) forgot(n int) {
	if m != nil {
		m.events.WithLabelValues(string(forgotten)).Add(float64(n))
	}
}
