package awshttp

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "diskport_requests_total",
			Help: "Requests answered, by service, action, and error code or HTTP status.",
		}, []string{"service", "action", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "diskport_request_duration_seconds",
			Help:    "Time from the first byte of a request to the last of its answer.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60},
		}, []string{"service", "action"}),
	}
	reg.MustRegister(m.requests, m.duration)
	return m
}

// observe counts a request. Labels come from closed sets: a service that no
// edge serves is one label value, whatever the client wrote.
func (m *metrics) observe(c *Call, rec *recorder, took time.Duration) {
	service := c.Service
	if _, ok := shapes[service]; !ok && service != page {
		service = "unknown"
	}
	code := c.code
	if code == "" {
		code = strconv.Itoa(rec.status)
	}
	m.requests.WithLabelValues(service, c.Action, code).Inc()
	m.duration.WithLabelValues(service, c.Action).Observe(took.Seconds())
}
