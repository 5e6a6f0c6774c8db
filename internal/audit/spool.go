package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/durable"
	"github.com/diskport/diskport/internal/failpoint"
	"github.com/diskport/diskport/internal/wake"
)

// Bucket is a place for objects.
type Bucket interface {
	// Put stores an object, in the place of one that has the key.
	Put(ctx context.Context, key string, content []byte) error
}

// SpoolOptions are how records come from a spool to a bucket. All but Metrics are required.
type SpoolOptions struct {
	Dir     string // the folder, which belongs to the spool; it is made if necessary
	To      Bucket
	Account string        // of records that are about none
	Region  string        // likewise
	Every   time.Duration // how long records wait for others that come with them
	Now     func() time.Time
	Failed  func(error)           // is told of every delivery that failed; it may be called concurrently
	Metrics prometheus.Registerer // nil: nothing is counted
}

// Spool keeps records until a bucket has them.
type Spool struct {
	o          SpoolOptions
	deliveries *prometheus.CounterVec // by end

	mu    sync.Mutex // guards what follows
	file  *os.File   // nil: there has been no record since the last one was completed
	begun time.Time
	size  int64 // bytes of it
	dirty bool  // it has lines that are not durable
	named bool  // its name is durable
	line  line
}

const (
	openSuffix     = ".open"
	completeSuffix = ".jsonl"
	// maxSpoolFile is after how many bytes a file is complete, whatever its age: it is
	// read into memory.
	maxSpoolFile = 4 << 20
	// syncEvery is what a power cut may cost. A process that dies costs nothing.
	syncEvery = time.Second
	// maxDeliveryPause is the longest pause after a delivery that failed.
	maxDeliveryPause = time.Minute
	// putFor bounds one put, of a few hundred KiB as a rule: nothing else ends one at an S3
	// that takes it and does not answer.
	putFor = 2 * time.Minute
	// mostRefused is how many files in a row the bucket refuses before the others wait.
	mostRefused = 8
)

// OpenSpool opens a spool. What a process that died has left in it is complete now.
func OpenSpool(o SpoolOptions) (*Spool, error) {
	if err := (&durable.Folders{}).Ensure(o.Dir); err != nil {
		return nil, fmt.Errorf("audit: making the spool: %w", err)
	}
	s := &Spool{o: o, deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "diskport_audit_deliveries_total", Help: "Attempts to deliver records of the audit log to the bucket, by end: delivered, failed.",
	}, []string{"end"})}
	for _, end := range []string{"delivered", "failed"} {
		s.deliveries.WithLabelValues(end)
	}
	left, err := s.files(openSuffix)
	if err != nil {
		return nil, err
	}
	for _, name := range left {
		if err := os.Rename(s.path(name), s.path(strings.TrimSuffix(name, openSuffix)+completeSuffix)); err != nil {
			return nil, fmt.Errorf("audit: opening the spool: %w", err)
		}
		failpoint.At("audit: what was left is complete")
	}
	if err := durable.SyncFolder(o.Dir); err != nil {
		return nil, fmt.Errorf("audit: opening the spool: %w", err)
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.deliveries, &backlog{s})
	}
	return s, nil
}

// Waiting returns how many files in the folder of a spool, which need not be open, no bucket has yet.
func Waiting(dir string) (files int, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		if spoolName.MatchString(e.Name()) {
			files++
		}
	}
	return files, err
}

func (s *Spool) path(name string) string { return filepath.Join(s.o.Dir, name) }

// files returns the names of the spool's files with a suffix, the oldest first.
func (s *Spool) files(suffix string) (names []string, err error) {
	entries, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("audit: reading the spool: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) && spoolName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// spoolName is the form of the names of files.
var spoolName = regexp.MustCompile(`^(\d{17})-([A-Z2-7]{26})\.(open|jsonl)$`)

func (*Spool) name() string { return "spool" }

func (*Spool) elsewhere() bool { return false }

func (s *Spool) append(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		now := s.o.Now()
		file, err := os.OpenFile(s.path(fmt.Sprintf("%017d-%s%s", now.UnixMicro(), rand.Text(), openSuffix)), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("audit: beginning a file of the spool: %w", err)
		}
		s.line = line{}
		if err := s.line.write(file, s.header()); err != nil {
			return fmt.Errorf("audit: beginning a file of the spool: %w", errors.Join(err, file.Close(), os.Remove(file.Name())))
		}
		s.file, s.begun, s.size, s.named = file, now, 0, false
		failpoint.At("audit: begun")
	}
	if err := s.line.write(s.file, text); err != nil {
		return fmt.Errorf("audit: writing to the spool: %w", err)
	}
	s.dirty = true
	if s.size += int64(len(text)) + 1; s.size >= maxSpoolFile {
		_ = s.complete() // or settle does, and says why it can't
	}
	return nil
}

// home is whose records are that are about no account and no region. It is the first line of
// a file, so that the file has the same objects should the service be another's, or elsewhere,
// when it is delivered again.
type home struct{ SpoolAccount, SpoolRegion string }

func (s *Spool) header() []byte {
	text, _ := json.Marshal(home{s.o.Account, s.o.Region}) // of texts: it does not fail
	return text
}

// complete makes the present file one that is delivered. s.mu is held.
func (s *Spool) complete() error {
	if s.file == nil {
		return nil
	}
	path := s.file.Name()
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("audit: completing a file of the spool: %w", err)
	}
	failpoint.At("audit: durable, without its name")
	if err := os.Rename(path, strings.TrimSuffix(path, openSuffix)+completeSuffix); err != nil {
		if errors.Is(err, os.ErrNotExist) { // somebody has removed it: the next record gets another one
			_ = s.file.Close()
			s.file, s.dirty = nil, false
		}
		return fmt.Errorf("audit: completing a file of the spool: %w", err)
	}
	failpoint.At("audit: named")
	err := errors.Join(s.file.Close(), durable.SyncFolder(s.o.Dir))
	s.file, s.dirty = nil, false
	return err
}

// settle makes lines durable, and completes a file that has waited for long enough.
func (s *Spool) settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	// One begun in the future was begun before the clock was set back.
	if age := s.o.Now().Sub(s.begun); age >= s.o.Every || age < 0 || s.size >= maxSpoolFile {
		return s.complete()
	}
	if !s.dirty {
		return nil
	}
	s.dirty = false
	if err := s.file.Sync(); err != nil {
		return err
	}
	failpoint.At("audit: lines are durable")
	if s.named {
		return nil
	}
	err := durable.SyncFolder(s.o.Dir)
	s.named = err == nil
	return err
}

// Close closes the spool. What it has is delivered when it is opened again.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete()
}

// Run makes records durable, and delivers them, until ctx ends.
func (s *Spool) Run(ctx context.Context) {
	var delivery sync.WaitGroup
	delivery.Go(func() { s.runDelivery(ctx) }) // by itself: a bucket may take long
	defer delivery.Wait()
	for range wake.Every(ctx, syncEvery) {
		if err := s.settle(); err != nil {
			s.o.Failed(err)
		}
	}
}

// runDelivery delivers records until ctx ends, with pauses after what failed.
func (s *Spool) runDelivery(ctx context.Context) {
	var pause time.Duration
	var until time.Time // no delivery is tried before
	for range wake.Every(ctx, syncEvery) {
		if time.Now().Before(until) {
			continue
		}
		err := s.deliver(ctx)
		switch {
		case err == nil:
			pause = 0
		case ctx.Err() == nil:
			pause = min(max(2*pause, syncEvery), maxDeliveryPause)
			until = time.Now().Add(pause)
			s.o.Failed(err)
		}
	}
}

// deliver delivers the complete files, the oldest first. One that can't be read, or that the
// bucket refuses, keeps none that can be delivered.
func (s *Spool) deliver(ctx context.Context) error {
	names, err := s.files(completeSuffix)
	if err != nil {
		return err
	}
	var failed []error
	refused := 0 // in a row
	for _, name := range names {
		text, err := os.ReadFile(s.path(name))
		if err != nil {
			failed = append(failed, err)
			continue
		}
		err = s.deliverFile(ctx, name, text)
		if err == nil {
			refused = 0
			continue
		}
		failed = append(failed, err)
		if refused++; refused == mostRefused || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			break // it is the bucket
		}
	}
	if err := errors.Join(failed...); err != nil {
		s.deliveries.WithLabelValues("failed").Inc()
		return fmt.Errorf("audit: delivering records: %w", err)
	}
	return nil
}

func (s *Spool) deliverFile(ctx context.Context, name string, text []byte) error {
	all, broken := s.objects(name, text)
	for _, o := range all {
		content, err := o.encode()
		if err != nil {
			return err
		}
		if err := s.put(ctx, o.key, content); err != nil {
			return err
		}
		s.deliveries.WithLabelValues("delivered").Inc()
	}
	if broken > 0 {
		s.o.Failed(fmt.Errorf("audit: %d lines of the spool were cut off by a full disk", broken))
	}
	failpoint.At("audit: delivered")
	if err := os.Remove(s.path(name)); err != nil {
		return err
	}
	failpoint.At("audit: removed")
	return durable.SyncFolder(s.o.Dir)
}

// put stores an object. A bucket that does not answer is asked again later.
func (s *Spool) put(ctx context.Context, key string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, putFor)
	defer cancel()
	return s.o.To.Put(ctx, key, content)
}

// object is what CloudTrail would deliver for an account and a region.
type object struct {
	key     string
	records []json.RawMessage
}

// objects returns the objects that are made of a file, in the order of their keys, and how
// many lines are none. They are the same whenever it is asked.
func (s *Spool) objects(name string, text []byte) (all []object, broken int) {
	parts := spoolName.FindStringSubmatch(name)
	micros, _ := strconv.ParseInt(parts[1], 10, 64)
	at, id := time.UnixMicro(micros).UTC(), parts[2]
	byKey := map[string]*object{}
	of := home{s.o.Account, s.o.Region} // a file of an older release does not say
	for text := range bytes.Lines(text) {
		var r struct {
			RecipientAccountID, AWSRegion string
			home
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		if json.Unmarshal(text, &r) != nil {
			broken++
			continue
		}
		if r.home != (home{}) {
			of = r.home
			continue
		}
		account, region := orElse(r.RecipientAccountID, of.SpoolAccount), orElse(r.AWSRegion, of.SpoolRegion)
		key := "AWSLogs/" + account + "/CloudTrail/" + region + at.Format("/2006/01/02/") + account + "_CloudTrail_" + region + at.Format("_20060102T1504Z_") + id + ".json.gz"
		if byKey[key] == nil {
			byKey[key] = &object{key: key}
		}
		byKey[key].records = append(byKey[key].records, json.RawMessage(text))
	}
	for _, o := range byKey {
		all = append(all, *o)
	}
	slices.SortFunc(all, func(a, b object) int { return strings.Compare(a.key, b.key) })
	return all, broken
}

// inKey is what may stand in a key for an account or a region.
var inKey = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func orElse(text, other string) string {
	if inKey.MatchString(text) {
		return text
	}
	return other
}

// encode returns the content of an object.
func (o object) encode() ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	err := json.NewEncoder(z).Encode(map[string][]json.RawMessage{"Records": o.records})
	err = errors.Join(err, z.Close())
	return out.Bytes(), err
}

// backlog are the metrics of what is not delivered yet.
type backlog struct{ s *Spool }

var (
	backlogBytes = prometheus.NewDesc("diskport_audit_spool_bytes", "Bytes of records of the audit log that the bucket does not have yet.", nil, nil)
	backlogAge   = prometheus.NewDesc("diskport_audit_spool_age_seconds", "How long ago the oldest of them was made; 0 if there is none.", nil, nil)
)

// Describe implements prometheus.Collector.
func (b *backlog) Describe(to chan<- *prometheus.Desc) { to <- backlogBytes; to <- backlogAge }

// Collect implements prometheus.Collector.
func (b *backlog) Collect(to chan<- prometheus.Metric) {
	var size int64
	var age time.Duration
	entries, err := os.ReadDir(b.s.o.Dir) // in the order of their names, the oldest first
	if err != nil {
		return
	}
	for _, e := range entries {
		parts := spoolName.FindStringSubmatch(e.Name())
		info, err := e.Info()
		if parts == nil || err != nil {
			continue // not ours, or delivered meanwhile
		}
		size += info.Size()
		if micros, err := strconv.ParseInt(parts[1], 10, 64); err == nil {
			age = max(age, b.s.o.Now().Sub(time.UnixMicro(micros)))
		}
	}
	to <- prometheus.MustNewConstMetric(backlogBytes, prometheus.GaugeValue, float64(size))
	to <- prometheus.MustNewConstMetric(backlogAge, prometheus.GaugeValue, age.Seconds())
}
