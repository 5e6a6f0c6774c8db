package server

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// gauge is one number of a T.
type gauge[T any] struct {
	name, help string
	value      func(T) int64
}

// toldGauges are the metrics of the T that was told last. There are none before that.
type toldGauges[T any] struct {
	prefix string // of the names
	each   []gauge[T]
	last   atomic.Pointer[T]
}

func (g *toldGauges[T]) tell(v T) { g.last.Store(&v) }

func (g *toldGauges[T]) desc(i int) *prometheus.Desc {
	return prometheus.NewDesc(g.prefix+g.each[i].name, g.each[i].help, nil, nil)
}

// Describe implements prometheus.Collector.
func (g *toldGauges[T]) Describe(to chan<- *prometheus.Desc) {
	for i := range g.each {
		to <- g.desc(i)
	}
}

// Collect implements prometheus.Collector.
func (g *toldGauges[T]) Collect(to chan<- prometheus.Metric) {
	last := g.last.Load()
	if last == nil {
		return
	}
	for i, x := range g.each {
		to <- prometheus.MustNewConstMetric(g.desc(i), prometheus.GaugeValue, float64(x.value(*last)))
	}
}
