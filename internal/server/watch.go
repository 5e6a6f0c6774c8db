package server

import (
	"context"
	"log/slog"
	"maps"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/metadb"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/gc"
	"github.com/diskport/diskport/internal/work"
)

// watch has the parts count what they do.
func (a *App) watch(p *parts, engine *importtask.Engine, reg prometheus.Registerer) {
	engine.Metrics = importtask.NewMetrics(reg)
	p.runner.Metrics = work.NewMetrics(reg)
	p.runner.Metrics.Expect(maps.Keys(p.runner.Handlers))
	p.gc.Metrics = gc.NewMetrics(reg)
	p.compact.Metrics = compact.NewMetrics(reg)
	p.usage = newUsageMetrics(p.db.Snapshots().Usage, a.log)
	if a.cfg.shared() {
		p.usage.every, p.usage.share = usageEveryNodes, usageShareNodes
	}
	reg.MustRegister(
		p.usage,
		p.scrubbed,
		&queueMetrics{queues: p.db.Work(), now: p.db.Now, log: a.log},
		&importMetrics{stages: p.db.Tasks(), log: a.log},
		countGauge("slots", "Blocks that the memory for blocks in flight has room for.", p.library.Store.Slots.Len),
		countGauge("slots_in_use", "Of these, how many are in use.", p.library.Store.Slots.InUse),
		countGauge("decoders_left_behind", "Steps that look into images which this process has left behind, since they do not come to an end.", a.strays.Now),
		countGauge("decoders_left_behind_limit", "Of how many of these no further step that looks into an image begins.", a.strays.Most),
		&outboxMetrics{events: p.db.Outbox(), now: p.db.Now, log: a.log},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build(),
	)
	a.countRooms(p, reg)
	load := func(name, help string, value func(metadb.Load) int64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "diskport_database_" + name, Help: help},
			func() float64 { return float64(value(p.db.Load())) }))
	}
	load("statements_total", "Statements that the database was asked to run.", func(l metadb.Load) int64 { return l.Statements })
	load("transactions_total", "Transactions that were begun in it; a statement alone begins none.", func(l metadb.Load) int64 { return l.Transactions })
	a.watchClocks(reg)
	for name, pool := range p.db.Pools() {
		reg.MustRegister(collectors.NewDBStatsCollector(pool, name))
	}
}

// build is a metric that says what was built from what.
func build() prometheus.Collector {
	info, _ := debug.ReadBuildInfo()
	labels := prometheus.Labels{"version": "", "go": ""}
	if info != nil {
		labels = prometheus.Labels{"version": info.Main.Version, "go": info.GoVersion}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "diskport_build_info", Help: "1; its labels say what is running.", ConstLabels: labels})
	g.Set(1)
	return g
}

// queueMetrics are the metrics of the units of work, counted when somebody asks: their
// rows are few.
type queueMetrics struct {
	queues work.Queues
	now    func() time.Time
	log    *slog.Logger
}

// queueTimeout bounds counting: a scrape that is late is of no use.
const queueTimeout = 5 * time.Second

func queueDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("diskport_"+name, help, labels, nil)
}

var (
	queueUnits = queueDesc("queue_units", "Units of work by kind and state: due, later (put off), leased (being done by some node).", "kind", "state")
	queueAge   = queueDesc("queue_age_seconds", "How long the first of the units that are due has been; 0 if none is.", "kind")
)

// Describe implements prometheus.Collector.
func (m *queueMetrics) Describe(to chan<- *prometheus.Desc) { to <- queueUnits; to <- queueAge }

// Collect implements prometheus.Collector.
func (m *queueMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
	defer cancel()
	now := m.now()
	queues, err := m.queues.Queues(ctx, now)
	if err != nil {
		m.log.Warn("counting the units of work", logkey.Error, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, q := range queues {
		kind := string(q.Kind)
		gauge(queueUnits, float64(q.Due), kind, "due")
		gauge(queueUnits, float64(q.Later), kind, "later")
		gauge(queueUnits, float64(q.Leased), kind, "leased")
		var age time.Duration
		if !q.Waiting.IsZero() {
			age = max(0, now.Sub(q.Waiting))
		}
		gauge(queueAge, age.Seconds(), kind)
	}
}

func countGauge(name, help string, value func() int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "diskport_" + name, Help: help}, func() float64 { return float64(value()) })
}

// importMetrics are the metrics of the imports that are under way.
type importMetrics struct {
	stages importtask.Stages
	log    *slog.Logger
}

var importsRunning = queueDesc("imports_running", "Disks whose import has not ended, by state and stage, as clients see them.", "state", "stage")

// Describe implements prometheus.Collector.
func (m *importMetrics) Describe(to chan<- *prometheus.Desc) { to <- importsRunning }

// Collect implements prometheus.Collector. Stages in which nothing is are told too, so that a
// graph goes back to zero.
func (m *importMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
	defer cancel()
	stages, err := m.stages.Stages(ctx)
	if err != nil {
		m.log.Warn("counting the imports that are under way", logkey.Error, err)
		return
	}
	counts := map[[2]string]int64{}
	for _, phase := range []importtask.Phase{importtask.Waiting, importtask.Validating, importtask.Validated, importtask.Converting, importtask.Completing} {
		counts[[2]string{string(importtask.Active), string(phase)}] = 0
	}
	for _, s := range stages {
		counts[[2]string{string(s.State), string(s.Phase)}] += s.Tasks
	}
	for at, n := range counts {
		to <- prometheus.MustNewConstMetric(importsRunning, prometheus.GaugeValue, float64(n), at[0], at[1])
	}
}

// outboxMetrics are the metrics of the events that are still to be told.
type outboxMetrics struct {
	events outbox.Backlogs
	now    func() time.Time
	log    *slog.Logger
}

var (
	outboxEvents = queueDesc("outbox_events", "Events that have not been told. Without a receiver they are forgotten after some days.")
	outboxAge    = queueDesc("outbox_age_seconds", "How long ago the oldest of the events happened that have not been told; 0 if there is none.")
)

// Describe implements prometheus.Collector.
func (m *outboxMetrics) Describe(to chan<- *prometheus.Desc) { to <- outboxEvents; to <- outboxAge }

// Collect implements prometheus.Collector.
func (m *outboxMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
	defer cancel()
	n, oldest, err := m.events.Backlog(ctx)
	if err != nil {
		m.log.Warn("counting the events to tell", logkey.Error, err)
		return
	}
	var age time.Duration
	if !oldest.IsZero() {
		age = max(0, m.now().Sub(oldest))
	}
	to <- prometheus.MustNewConstMetric(outboxEvents, prometheus.GaugeValue, float64(n))
	to <- prometheus.MustNewConstMetric(outboxAge, prometheus.GaugeValue, age.Seconds())
}
