package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/store/snapshot"
)

// TestUsageIsMeasuredNowAndThen: seldom enough for a store in which it takes long, and
// what was measured last stays when it fails.
func TestUsageIsMeasuredNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		takes := []time.Duration{time.Second, time.Hour, 0, time.Second}
		var began []time.Duration
		m := newUsageMetrics(func(ctx context.Context) (snapshot.Usage, error) {
			n := len(began)
			began = append(began, time.Since(start))
			if n == len(takes) {
				<-ctx.Done()
				return snapshot.Usage{Blocks: 99}, ctx.Err()
			}
			time.Sleep(takes[n])
			if takes[n] == 0 {
				return snapshot.Usage{}, errors.New("the database does not answer")
			}
			return snapshot.Usage{Snapshots: int64(n), Virtual: 9, Data: 8, Blocks: 2, Compressed: 1, Damaged: 4, Frames: 6, Packs: 1, PackBytes: 7, Dead: 3, Manifests: 2}, nil
		}, slog.New(slog.DiscardHandler))
		reg := prometheus.NewRegistry()
		reg.MustRegister(m)
		if got := gauges(t, reg); len(got) > 0 {
			t.Errorf("before anything was measured: %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { m.run(ctx); close(ended) }()
		time.Sleep(24 * time.Hour)
		cancel()
		<-ended
		want := []time.Duration{time.Second, 62 * time.Second, 20*time.Hour + 62*time.Second, 20*time.Hour + 122*time.Second, 20*time.Hour + 183*time.Second}
		if d := cmp.Diff(want, began); d != "" {
			t.Errorf("measured at (-want +got):\n%s", d)
		}
		if d := cmp.Diff(map[string]float64{
			"snapshots": 3, "virtual_bytes": 9, "data_bytes": 8, "distinct_bytes": 1 << 20, "stored_bytes": 6, "dead_bytes": 3, "file_bytes": 9,
			"blocks": 2, "compressed_blocks": 1, "damaged_blocks": 4, "packs": 1,
			"measured_timestamp_seconds": float64(start.Add(want[3] + time.Second).Unix()),
		}, gauges(t, reg)); d != "" {
			t.Errorf("metrics (-want +got):\n%s", d)
		}
	})
}

// gauges returns the values of diskport_store_ metrics, which have no labels.
func gauges(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if len(f.GetMetric()) != 1 || len(f.GetMetric()[0].GetLabel()) > 0 {
			t.Errorf("%s is %v", f.GetName(), f.GetMetric())
		}
		got[strings.TrimPrefix(f.GetName(), "diskport_store_")] = f.GetMetric()[0].GetGauge().GetValue()
	}
	return got
}
