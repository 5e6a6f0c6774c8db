package blobs3

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count the requests to a store. A nil one counts nothing.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
}

// NewMetrics returns metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "diskport_bucket_requests_total",
			Help: "Requests to the S3 that keeps the blocks, by operation and outcome: done, missing, condition (not met), refused, unavailable (5xx, 429), broken (no answer). What is repeated counts again.",
		}, []string{"operation", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "diskport_bucket_request_seconds", Help: "How long the S3 that keeps the blocks took to begin an answer, the sending of the request included.",
			Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30},
		}, []string{"operation"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "diskport_bucket_bytes_total", Help: "Bytes of bodies to and from the S3 that keeps the blocks, by direction: sent, received.",
		}, []string{"direction"}),
	}
	reg.MustRegister(m.requests, m.seconds, m.bytes)
	return m
}

func (m *Metrics) request(op, outcome string, took time.Duration) {
	if m != nil {
		m.requests.WithLabelValues(op, outcome).Inc()
		m.seconds.WithLabelValues(op).Observe(took.Seconds())
	}
}

func (m *Metrics) sent(n int64) {
	if m != nil {
		m.bytes.WithLabelValues("sent").Add(float64(n))
	}
}

func (m *Metrics) received(n int64) {
	if m != nil {
		m.bytes.WithLabelValues("received").Add(float64(n))
	}
}
