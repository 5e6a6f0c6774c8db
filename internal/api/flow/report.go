package flow

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/logkey"
)

// cause is why a connection was cut.
type cause string

const (
	slowBody   cause = "slow body"
	slowAnswer cause = "slow answer"
	crowded    cause = "crowded"
)

// lineEvery is how often the log may say that a connection was cut: whoever opens
// thousands of them must not fill the disk.
const lineEvery = time.Second

// report tells log and metrics about connections that were cut.
type report struct {
	log *slog.Logger
	now func() time.Time
	cut *prometheus.CounterVec

	mu    sync.Mutex // guards what follows
	next  time.Time  // of the next line
	since int        // how many were cut since the last line, without it
}

func newReport(log *slog.Logger, now func() time.Time) *report {
	r := &report{log: log, now: now, cut: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "diskport_connections_cut_total",
		Help: "Connections of clients that the service has cut: for sending a body or reading an answer too slowly, or since there were too many connections.",
	}, []string{"cause"})}
	for _, c := range []cause{slowBody, slowAnswer, crowded} {
		r.cut.WithLabelValues(string(c))
	}
	return r
}

// tell reports one connection. request is the id of its request, or "".
func (r *report) tell(why cause, remote, request string) {
	r.cut.WithLabelValues(string(why)).Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if now.Before(r.next) {
		r.since++
		return
	}
	r.log.Warn("cut a connection", "cause", string(why), "remote", remote, logkey.Request, request, "others", r.since)
	r.next, r.since = now.Add(lineEvery), 0
}

// register registers all metrics of the package but those of connections.
func (c *Control) register(reg prometheus.Registerer) {
	reg.MustRegister(c.report.cut)
	for class, b := range c.budgets {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "diskport_request_body_bytes",
			Help:        "Memory of request bodies, by what is known about the sender: nothing, a key that it names, or a signature.",
			ConstLabels: prometheus.Labels{"sender": classNames[class]},
		}, func() float64 { return float64(b.inUse()) }))
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "diskport_answer_bytes",
		Help: "Memory of answers that clients are reading.",
	}, func() float64 { return float64(c.answers.inUse()) }))
}
