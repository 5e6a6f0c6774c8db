package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/span"
	"github.com/diskport/diskport/internal/store/blobdir"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

// guardSpace keeps room on the disk of the data directory, and of folders in it that
// lie elsewhere.
func (a *App) guardSpace(metrics prometheus.Registerer) (err error) {
	folders := []string{"blocks", "scratch", "objects"}
	if a.cfg.shared() {
		folders = []string{"scratch"}
	}
	a.space, err = space.NewGuard(space.Options{Dir: a.data.path, Others: a.data.elsewhere(folders...), Bare: a.cfg.shared()})
	if err != nil {
		return err
	}
	a.space.Observe(a.spaceChanged)
	metrics.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "diskport_space_free_bytes", Help: "Bytes that are free on the disk that has least to spare.",
		}, func() float64 { return float64(a.space.State().Free) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "diskport_space_reserve_bytes", Help: "Bytes that imports leave free there: with fewer they are refused.",
		}, func() float64 { return float64(a.leaves(a.space.State())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "diskport_space_ballast_bytes", Help: "Bytes of the ballast, which is let go when a full disk keeps something from being deleted.",
		}, func() float64 { return float64(a.space.State().Ballast) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "diskport_space_full", Help: "1 while nothing more may be stored for want of space, else 0.",
		}, func() float64 {
			if a.space.State().Full != nil {
				return 1
			}
			return 0
		}),
	)
	return nil
}

// measured is a gauge that is measured when somebody asks.
type measured struct {
	desc    *prometheus.Desc
	log     *slog.Logger
	measure func(context.Context) (int64, error)
}

// Describe implements prometheus.Collector.
func (m measured) Describe(to chan<- *prometheus.Desc) { to <- m.desc }

// Collect implements prometheus.Collector.
func (m measured) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), queueTimeout)
	defer cancel()
	n, err := m.measure(ctx)
	if err != nil {
		m.log.Warn("measuring for metrics", logkey.Error, err)
		return
	}
	to <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(n))
}

// countRooms registers the metrics of what scratch and the embedded S3 take, and may.
func (a *App) countRooms(p *parts, metrics prometheus.Registerer) {
	stored := prometheus.NewDesc("diskport_objects_bytes", "Bytes of the objects and parts of uploads in the embedded S3.", nil, nil)
	if p.objects != nil {
		metrics.MustRegister(
			measured{stored, a.log, func(ctx context.Context) (int64, error) { return p.db.Objects().Usage(ctx, "") }},
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "diskport_objects_quota_bytes", Help: "Bytes that the embedded S3 may store; 0: no limit.",
			}, func() float64 { return float64(a.cfg.QuotaAllObjects) }),
		)
	}
	metrics.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "diskport_scratch_bytes", Help: "Bytes that unpacked images take.",
		}, func() float64 { return float64(a.scratch.Used()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "diskport_scratch_quota_bytes", Help: "Bytes that unpacked images may take; 0: no limit.",
		}, func() float64 { return float64(a.cfg.QuotaScratch) }),
	)
}

// spaceChanged is the space.Observer that tells the log.
func (a *App) spaceChanged(ctx context.Context, s space.State) error {
	if s.Full != nil && a.cfg.shared() {
		a.log.ErrorContext(ctx, "the disk is full: images that have to be unpacked are refused by this node", "dir", s.Dir, "free", s.Free, "least", s.Mark)
		return nil
	}
	if s.Full != nil {
		a.log.ErrorContext(ctx, "the disk is full: nothing more is stored until something is deleted or space is freed; reads, deletions and gc go on",
			"dir", s.Dir, "free", s.Free, "least", s.Mark, "ballast", s.Ballast)
		return nil
	}
	a.log.InfoContext(ctx, "there is room on the disk again", "dir", s.Dir, "free", s.Free)
	return nil
}

// resumeWaiting is the space.Observer that has units which wait for room look again.
func (a *App) resumeWaiting(ctx context.Context, s space.State) error {
	if s.Full != nil {
		return nil
	}
	if err := a.parts.db.Work().Resume(ctx, time.Now()); err != nil {
		return err
	}
	a.parts.bus.Wake(wake.Work)
	return nil
}

// elsewhere returns those folders of the data directory that lie on other file
// systems.
func (d *dataDir) elsewhere(names ...string) (dirs []string) {
	for _, name := range names {
		if d.isElsewhere(d.file(name)) {
			dirs = append(dirs, d.file(name))
		}
	}
	return dirs
}

// isElsewhere reports whether a file or folder lies on another file system than the data
// directory. One that can't be looked at does not.
func (d *dataDir) isElsewhere(path string) bool {
	var home, st unix.Stat_t
	return unix.Stat(d.path, &home) == nil && unix.Stat(path, &st) == nil && st.Dev != home.Dev
}

// collectEvery is how soon a full disk gets back what was deleted.
const collectEvery = 30 * time.Second

// collectWhileFull frees what was deleted, and rewrites packs that are dead in part, while the
// disk is full, without waiting for these duties to be due.
func (a *App) collectWhileFull(ctx context.Context) {
	for range wake.Every(ctx, collectEvery) {
		if err := a.collectIfFull(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("collecting garbage on a full disk", logkey.Error, err)
		}
	}
}

func (a *App) collectIfFull(ctx context.Context) error {
	if a.space.Growth() == nil {
		return nil
	}
	return work.Guard(func() error {
		r, err := a.parts.gc.Run(ctx)
		if r.Files > 0 {
			r.Log(ctx, a.log)
		}
		if err != nil || a.space.Growth() == nil || a.cfg.CompactRate < 0 {
			return err
		}
		rewritten, err := a.parts.compact.Run(ctx, compact.Thorough(a.cfg.CompactRate), nil)
		if rewritten.Packs > 0 {
			rewritten.Log(ctx, a.log)
		}
		return err
	})
}

// health is the state of the service for people and for what watches it. It names no
// path, since it needs no signature.
type health struct {
	Status   string            `json:"status"`   // "ok", "full": nothing more is stored, "stuck": no image is looked into, or "down"
	Database string            `json:"database"` // "ok", or "unavailable": nothing is answered but pages like this one
	Services map[string]string `json:"services"` // of AWS that are played: "available", or "elsewhere"
	Space    healthSpace       `json:"space"`
	Decoders healthDecoders    `json:"decoders"`
}

type healthDecoders struct {
	LeftBehind     int `json:"leftBehind"`     // steps that look into images and do not come to an end
	MostLeftBehind int `json:"mostLeftBehind"` // no further step begins while there are so many: a restart ends them
}

type healthSpace struct {
	FreeBytes    int64      `json:"freeBytes"`    // of the disk that has least to spare
	LeastBytes   int64      `json:"leastBytes"`   // that must stay free there
	NeededBytes  int64      `json:"neededBytes"`  // that must be free there for more to be stored again; 0: it is
	BallastBytes int64      `json:"ballastBytes"` // let go for deletions on a full disk
	ReserveBytes int64      `json:"reserveBytes"` // that imports and uploads leave alone
	Since        *time.Time `json:"since,omitempty"`
}

func (a *App) health(w http.ResponseWriter, r *http.Request) {
	s := a.space.State()
	h := health{Status: "ok", Database: "ok", Services: a.services(), Space: healthSpace{FreeBytes: s.Free, LeastBytes: s.Mark, BallastBytes: s.Ballast, ReserveBytes: a.cfg.Reserve}}
	h.Decoders = healthDecoders{a.strays.Now(), a.strays.Most()}
	if a.strays.Full() != nil {
		h.Status = "stuck"
	}
	if s.Full != nil && !a.cfg.shared() {
		h.Status, h.Space.NeededBytes = "full", s.Needed
	}
	if !s.Since.IsZero() {
		since := s.Since.UTC()
		h.Space.Since = &since
	}
	if a.parts != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := a.parts.db.Ready(ctx); err != nil {
			h.Status, h.Database = "down", "unavailable"
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(h) // the client may be gone
}

// services says which services of AWS are played here.
func (a *App) services() map[string]string {
	played := map[string]string{}
	for _, name := range []string{"ec2", "ebs", "iam", "sts", "s3", "kms"} {
		played[name] = "available"
	}
	if a.cfg.KMSEndpoint != "" {
		played["kms"] = "elsewhere"
	}
	if a.cfg.shared() {
		played["s3"] = "elsewhere"
	}
	return played
}

// guardedBackend is a back end that refuses to grow on a full disk, and whose files
// can be removed from one.
type guardedBackend struct {
	blockBackend
	space *space.Guard
	grows func() error // Growth of the guard, or Rewriting
}

// Create implements blockstore.Backend.
func (b guardedBackend) Create(ctx context.Context, name string, size int64) (blockstore.Writer, error) {
	if err := b.grows(); err != nil {
		return nil, errors.Join(blockstore.ErrFull, err)
	}
	w, err := b.blockBackend.Create(ctx, name, size)
	if err != nil {
		return nil, err
	}
	return guardedWriter{w, b.grows, name}, nil
}

// ReadAt implements blockstore.Backend.
func (b guardedBackend) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	ctx, traced := span.Start(ctx, "store read")
	traced.Text(tracedFile, name)
	traced.Number(span.Offset, off)
	traced.Number(span.Bytes, int64(len(p)))
	n, err = b.blockBackend.ReadAt(ctx, name, p, off)
	traced.End(err)
	return n, err
}

// tracedFile is the attribute of spans that names a file of the store.
const tracedFile = "diskport.file"

// Remove implements blockstore.Backend.
func (b guardedBackend) Remove(ctx context.Context, name string) error {
	return b.space.Freeing(func() error { return b.blockBackend.Remove(ctx, name) })
}

// SetAside implements blockstore.Quarantine.
func (b guardedBackend) SetAside(ctx context.Context, name string, at time.Time) error {
	return b.space.Freeing(func() error { return b.blockBackend.SetAside(ctx, name, at) })
}

// guardedFiles is guardedBackend for the files of objects.
type guardedFiles struct {
	*blobdir.Dir
	space *space.Guard
}

// Create implements blockstore.Backend.
func (f guardedFiles) Create(ctx context.Context, name string, size int64) (blockstore.Writer, error) {
	if err := f.space.Growth(); err != nil {
		return nil, errors.Join(blockstore.ErrFull, err)
	}
	w, err := f.Dir.Create(ctx, name, size)
	if err != nil {
		return nil, err
	}
	return guardedWriter{w, f.space.Growth, name}, nil
}

// Remove implements blockstore.Backend.
func (f guardedFiles) Remove(ctx context.Context, name string) error {
	return f.space.Freeing(func() error { return f.Dir.Remove(ctx, name) })
}

// SetAside implements blockstore.Quarantine.
func (f guardedFiles) SetAside(ctx context.Context, name string, at time.Time) error {
	return f.space.Freeing(func() error { return f.Dir.SetAside(ctx, name, at) })
}

type guardedWriter struct {
	blockstore.Writer
	grows func() error
	name  string
}

// WriteAt implements blockstore.Writer.
func (w guardedWriter) WriteAt(ctx context.Context, bufs [][]byte, off int64) error {
	if err := w.grows(); err != nil {
		return errors.Join(blockstore.ErrFull, err)
	}
	ctx, traced := span.Start(ctx, "store write")
	traced.Text(tracedFile, w.name)
	traced.Number(span.Offset, off)
	err := w.Writer.WriteAt(ctx, bufs, off)
	traced.End(err)
	return err
}

// Close implements blockstore.Writer.
func (w guardedWriter) Close(ctx context.Context, size int64) error {
	ctx, traced := span.Start(ctx, "store close")
	traced.Text(tracedFile, w.name)
	traced.Number(span.Bytes, size)
	err := w.Writer.Close(ctx, size)
	traced.End(err)
	return err
}
