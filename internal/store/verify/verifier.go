package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/frame"
	"github.com/diskport/diskport/internal/store/keyring"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// Verifier reads the store and says what is damaged. Its fields are set before the first
// run; runs may overlap.
type Verifier struct {
	Store   Store
	Fixes   Fixes   // of Repair
	Mender  Mender  // of Repair
	Entries Entries // of Rebuild
	// Between runs fn while no cycle of gc does, for Rebuild; nil: there is no gc.
	Between func(ctx context.Context, fn func() error) error
	// Conditions are told of each file and snapshot that something was found to be wrong
	// with, until a run over everything finds that no more; nil: nobody is.
	Conditions outbox.Conditions
	Region     string // where Rebuild puts snapshots, since roots don't say
	Shelf      *snapshot.Shelf
	Keys       Keys
	Objects    Objects // nil: there is no embedded S3
	Now        func() time.Time
	Workers    int // that open frames at a time; 0: as many as there are processors

	mending sync.Mutex // held by a Repair or Rebuild
}

// ErrMending reports that the store is being mended already: two at once would write the
// same things anew, and each would take the other's for damage.
var ErrMending = errors.New("verify: another repair or rebuild of the store is under way: begin once it has ended")

// Bytes is the most memory that a run takes for what it reads.
const Bytes = 2*chunkBytes + maxProblems*100

// Effort says how much a run does.
type Effort struct {
	Rate int64 // bytes that are read in a second at most; 0: any number
}

// Observer hears what a run does, from one goroutine. An error of Found or Snapshot ends the
// run.
type Observer struct {
	Progress func(done, total int64) // bytes of files
	Found    func(Finding) error
	Snapshot func(Checked) error
}

// Checked is the outcome for one snapshot.
type Checked struct {
	ID       string
	Account  string
	Region   string
	Blocks   int64
	Findings int64  // about it
	Locked   string // why its key can't be used; empty: it can
}

// Summary is what a run did.
type Summary struct {
	Files     int64
	Bytes     int64
	Blocks    int64 // frames that were read
	Snapshots int64
	Findings  int64 // without harmless ones
	Harmless  int64
	Healed    int64 // blocks whose marks were taken away, since they are whole
	// Locked names the domains whose key can't be used, and why: their frames were compared with
	// checksums, and not opened.
	Locked []string
	Notes  []string // what else could not be checked
}

// add adds what another run has done, whose lists are the later ones.
func (s *Summary) add(o Summary) {
	s.Files += o.Files
	s.Bytes += o.Bytes
	s.Blocks += o.Blocks
	s.Snapshots += o.Snapshots
	s.Findings += o.Findings
	s.Harmless += o.Harmless
	s.Healed += o.Healed
}

// Log logs what was found out.
func (s Summary) Log(ctx context.Context, log *slog.Logger) {
	log.InfoContext(ctx, "verified the store", "files", s.Files, "bytes", s.Bytes, "blocks", s.Blocks, "snapshots", s.Snapshots,
		"findings", s.Findings, "harmless", s.Harmless, "healed", s.Healed)
	for _, text := range s.Locked {
		log.InfoContext(ctx, "blocks were only compared with their checksums", "reason", text)
	}
	for _, text := range s.Notes {
		log.InfoContext(ctx, "not verified", "reason", text)
	}
}

// run is one run.
type run struct {
	*Verifier
	o       Observer
	store   *blockstore.Store
	pace    work.Pace
	summary Summary
	domains map[string]*domain
	bench   *bench
	total   int64
	bad     map[block.ID]string     // blocks that can't be read, and why; at most maxProblems
	current *Checked                // the snapshot that findings are about; nil: none
	pending bool                    // a snapshot is being made
	needs   *needs                  // what is to be mended; nil: nothing is
	untold  map[string]outbox.Event // of files and snapshots that were found damaged
}

// maxProblems bounds run.bad. What is not in it is known by its mark.
const maxProblems = 1 << 16

// domain is a domain as its row says.
type domain struct {
	blockstore.Domain
	told bool // that headers of packs say something else
}

func (v *Verifier) start(e Effort, o Observer) *run {
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Found == nil {
		o.Found = func(Finding) error { return nil }
	}
	if o.Snapshot == nil {
		o.Snapshot = func(Checked) error { return nil }
	}
	workers := v.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	return &run{
		Verifier: v, o: o, store: v.Shelf.Library.Store, pace: work.Pace{Rate: e.Rate, Now: v.Now},
		domains: map[string]*domain{}, bench: newBench(workers), bad: map[block.ID]string{}, untold: map[string]outbox.Event{},
	}
}

// Run reads everything. A Summary comes with an error too.
func (v *Verifier) Run(ctx context.Context, e Effort, o Observer) (Summary, error) {
	r, begun := v.start(e, o), v.Now()
	err := r.all(ctx, Position{}, func(Position) error { return nil })
	if err == nil {
		err = r.forget(ctx, begun)
	}
	return r.summary, err
}

// Stage is a part of a run.
type Stage int

// The stages, in their order. Damage to files is marked before snapshots are looked at.
const (
	Beginning Stage = iota // the database, and domains
	Files                  // with a row
	Strays                 // files without a row
	Snapshots
	EmbeddedS3 // its files
	Ended
)

// Position is how far a run is.
type Position struct {
	Stage Stage
	After string // of Files, Snapshots and EmbeddedS3: the number or id that was dealt with last; empty: none
}

// all does what lies behind a position, and calls reached with positions behind which it can
// be gone on.
func (r *run) all(ctx context.Context, from Position, reached func(Position) error) error {
	if err := r.loadDomains(ctx); err != nil {
		return err
	}
	noted := func(at Position) error {
		if err := r.tell(ctx); err != nil {
			return err
		}
		return reached(at)
	}
	for stage := from.Stage; stage < Ended; stage++ {
		after := ""
		if stage == from.Stage {
			after = from.After
		}
		next := func(after string) error { return noted(Position{stage, after}) }
		var err error
		switch stage {
		case Beginning:
			err = r.beginning(ctx)
		case Files:
			err = r.files(ctx, after, next)
		case Strays:
			err = errors.Join(r.homeless(ctx), r.strays(ctx))
		case Snapshots:
			err = r.snapshots(ctx, after, next)
		case EmbeddedS3:
			err = r.objects(ctx, after, next)
		case Ended:
		}
		if err == nil {
			err = noted(Position{Stage: stage + 1})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// beginning checks the database, and domains.
func (r *run) beginning(ctx context.Context) error {
	report, err := r.Store.CheckEngine(ctx)
	if err != nil {
		return err
	}
	for _, text := range report.Problems {
		if err := r.found(about(Database, text)); err != nil {
			return err
		}
	}
	r.summary.Notes = append(r.summary.Notes, report.Notes...)
	for _, id := range slices.Sorted(maps.Keys(r.domains)) {
		if err := r.domain(ctx, r.domains[id]); err != nil {
			return err
		}
	}
	return nil
}

// loadDomains reads the rows of all domains.
func (r *run) loadDomains(ctx context.Context) error {
	rows, err := r.Store.DomainRows(ctx)
	for _, d := range rows {
		if r.domains[d.ID] == nil {
			r.domains[d.ID] = &domain{Domain: d}
		}
	}
	return err
}

// domainOf returns a domain, which may have been made since the run began, or nil.
func (r *run) domainOf(ctx context.Context, id string) (*domain, error) {
	if d := r.domains[id]; d != nil {
		return d, nil
	}
	err := r.loadDomains(ctx)
	return r.domains[id], err
}

// domain checks the row of a domain.
func (r *run) domain(ctx context.Context, d *domain) error {
	keys, err := r.Keys.Unwrap(ctx, d.Domain)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isLocked(err):
		r.locked(d.ID, err)
	case err != nil:
		err = fmt.Errorf("the keys in the row of domain %s can't be opened: %w", d.ID, err)
	case keys.Oldest() != d.Oldest || keys.Newest() != d.Newest:
		err = fmt.Errorf("the row of domain %s says data keys %d to %d, they are %d to %d", d.ID, d.Oldest, d.Newest, keys.Oldest(), keys.Newest())
	}
	if err == nil && d.Retire > d.Newest {
		err = fmt.Errorf("the row of domain %s says that all its data keys are to go, up to %d of %d", d.ID, d.Retire, d.Newest)
	}
	if err == nil || isLocked(err) {
		return nil
	}
	r.needs.domain(d.ID)
	return r.found(about(Row, err.Error()).advised(repairDomain))
}

// isLocked reports whether an error says that a key can't be used now, or that its KMS
// does not answer. That what the key has encrypted can't be decrypted is damage.
func isLocked(err error) bool {
	e, ok := errors.AsType[*keyring.Error](err)
	return ok && e.Reason != keyring.Broken || errors.Is(err, keyring.ErrUnavailable)
}

// areBroken reports whether an error says that the keys of a domain are damaged, or what they
// are wrapped under.
func areBroken(err error) bool {
	e, ok := errors.AsType[*keyring.Error](err)
	return ok && e.Reason == keyring.Broken || errors.Is(err, secret.ErrWrapped)
}

// locked notes a domain whose key can't be used, once.
func (r *run) locked(domain string, err error) {
	name := "domain " + domain + ": "
	if !slices.ContainsFunc(r.summary.Locked, func(text string) bool { return strings.HasPrefix(text, name) }) {
		r.summary.Locked = append(r.summary.Locked, name+err.Error())
	}
}

// keys returns the keys of a domain, or nil if they can't be used: then frames are only
// compared with their checksums.
func (r *run) keys(ctx context.Context, domain string) (*frame.Keys, error) {
	keys, err := r.Keys.Keys(ctx, domain)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isLocked(err):
		r.locked(domain, err)
		return nil, nil
	case err != nil:
		return nil, nil // its row is a finding of its own
	}
	return keys, nil
}

// found reports a finding.
func (r *run) found(f Finding) error {
	if f.Harmless {
		r.summary.Harmless++
	} else {
		r.summary.Findings++
		if r.current != nil {
			r.current.Findings++
		}
		r.toTell(f)
	}
	return r.o.Found(f)
}

// toTell notes a finding to be told of, if it is the first about its file or snapshot.
func (r *run) toTell(f Finding) {
	e := outbox.Event{
		Kind: outbox.DamageFound, Resource: cmp.Or(f.Snapshot, f.File, "database"),
		Detail: outbox.Detail{Snapshot: f.Snapshot, Part: string(f.Part), Message: f.String(), Advice: f.Advice()},
	}
	if f.Snapshot != "" && r.current != nil {
		e.Account, e.Region = r.current.Account, r.current.Region
	}
	if _, ok := r.untold[e.Resource]; !ok {
		r.untold[e.Resource] = e
	}
}

// tell tells of what was found since it was called last.
func (r *run) tell(ctx context.Context) error {
	for _, place := range slices.Sorted(maps.Keys(r.untold)) {
		if r.Conditions == nil {
			break
		}
		c := outbox.Condition{Topic: outbox.Damage, Place: place, Seen: r.Now()}
		if err := r.Conditions.Begin(ctx, c, r.untold[place]); err != nil {
			return err
		}
	}
	clear(r.untold)
	return nil
}

// forget forgets damage that a run over everything, which began at a time, has not met.
func (r *run) forget(ctx context.Context, begun time.Time) error {
	if r.Conditions == nil {
		return nil
	}
	return r.Conditions.EndUnseen(ctx, outbox.Damage, begun)
}

// unreadable notes why a block can't be read, for the findings about snapshots.
func (r *run) unreadable(id block.ID, why string) {
	if len(r.bad) < maxProblems {
		r.bad[id] = why
	}
	r.needs.block(id)
}
