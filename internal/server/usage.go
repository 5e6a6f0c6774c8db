package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// A measurement of the store reads the rows of all blocks. So it is not made when
// somebody asks for metrics, but at most every usageEvery, and takes at most one part in
// usageShare of the time; and not before usageAfter, so that a service that is there for
// one command is mostly gone by then. Of many nodes each measures what all share, so each
// does so more rarely.
const (
	usageEvery      = time.Minute
	usageShare      = 20
	usageEveryNodes = 15 * time.Minute
	usageShareNodes = 400
	usageAfter      = time.Second
)

// usageMetrics are the metrics of what the store holds and takes. There are none until
// it has been measured.
type usageMetrics struct {
	measure func(context.Context) (snapshot.Usage, error)
	log     *slog.Logger
	every   time.Duration
	share   time.Duration
	toldGauges[measuredUsage]
}

func newUsageMetrics(measure func(context.Context) (snapshot.Usage, error), log *slog.Logger) *usageMetrics {
	return &usageMetrics{measure: measure, log: log, every: usageEvery, share: usageShare, toldGauges: toldGauges[measuredUsage]{prefix: "diskport_store_", each: usageGauges}}
}

type measuredUsage struct {
	snapshot.Usage
	at time.Time
}

// usageGauges are the metrics, without diskport_store_.
var usageGauges = []gauge[measuredUsage]{
	{"snapshots", "Completed snapshots, of all accounts.", func(u measuredUsage) int64 { return u.Snapshots }},
	{"virtual_bytes", "Bytes of the disks of completed snapshots.", func(u measuredUsage) int64 { return u.Virtual }},
	{"data_bytes", "Bytes of the blocks of completed snapshots, before any is shared.", func(u measuredUsage) int64 { return u.Data }},
	{"distinct_bytes", "Bytes of the blocks that are stored, before they are compressed.", func(u measuredUsage) int64 { return u.Blocks * block.Size }},
	{"stored_bytes", "Bytes that the blocks take on disk.", func(u measuredUsage) int64 { return u.Frames }},
	{"dead_bytes", "Bytes in packs that no block takes any more, which a compaction gives back.", func(u measuredUsage) int64 { return u.Dead }},
	{"file_bytes", "Bytes of all packs, pages and roots.", func(u measuredUsage) int64 { return u.PackBytes + u.Manifests }},
	{"blocks", "Blocks that are stored.", func(u measuredUsage) int64 { return u.Blocks }},
	{"compressed_blocks", "Of these, compressed ones.", func(u measuredUsage) int64 { return u.Compressed }},
	{"damaged_blocks", "Of these, ones that a read found damaged.", func(u measuredUsage) int64 { return u.Damaged }},
	{"packs", "Files of blocks.", func(u measuredUsage) int64 { return u.Packs }},
	{"measured_timestamp_seconds", "When the other diskport_store_ metrics were measured.", func(u measuredUsage) int64 { return u.at.Unix() }},
}

// run measures the store now and then, until ctx ends.
func (m *usageMetrics) run(ctx context.Context) {
	for next := usageAfter; work.Pause(ctx, next) == nil; {
		start := time.Now()
		u, err := m.measure(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			m.log.Warn("measuring the store", logkey.Error, err)
		default:
			m.tell(measuredUsage{u, time.Now()})
		}
		next = max(m.every, (m.share-1)*time.Since(start))
	}
}
