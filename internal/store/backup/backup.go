package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/work"
)

// Source is a service that is backed up. Its fields are set before the first Run.
type Source struct {
	Database  Database
	Trees     map[string]Reader // by the names of the trees
	Authority Authority
	// Hold holds all files.
	Hold func(ctx context.Context, why string) (Hold, error)
	// Secrets is called to have the database copied, and returns what belongs to the copy. copy
	// makes the copy; nothing of it may change while it does.
	Secrets func(ctx context.Context, copy func() error) (Secrets, error)
	// Proofs checks the proofs of manifests that were made under any master key.
	Proofs  secret.Wrapper
	Now     func() time.Time
	Program string // its version
}

// Secrets is what belongs to a copy of a database.
type Secrets struct {
	Keys   [][]byte          // a text wrapped under each master key that is in use
	Extras map[string][]byte // small files
	Proofs secret.Wrapper    // under one of these keys: it makes the proof of the manifest
}

// Hold is a hold of all files. snapshot.HeldFiles is one.
type Hold interface {
	// Context returns a context that ends when they are held no longer, for the cause that
	// it has then.
	Context() context.Context
	// Still returns nil if they have been held up to now.
	Still(ctx context.Context) error
	// Release ends the hold. It may be called again.
	Release()
}

// Options are how a backup is made. The zero value is ready.
type Options struct {
	// Scratch makes a folder for the copy of the database until that is in the target. The
	// folder is removed in the end.
	Scratch func() (string, error)
	// Rate is how many bytes a second are read at most; 0: any.
	Rate int64
	// Keep is of how many moments backups stay, with this one; 0: of all.
	Keep int
	// Check is how thoroughly what is in the target already is looked at.
	Check Check
	// Progress is called now and then with how many bytes of how many, about, are dealt
	// with; may be nil.
	Progress func(done, total int64)
}

// Check is how thoroughly files that are in a target are looked at.
type Check int

// How thoroughly it is.
const (
	Sizes     Check = iota // whether they are there, as long as they should be
	Checksums              // what they hold too
)

// Report says what a backup did.
type Report struct {
	Moment string // empty: it did not come so far
	At     time.Time
	Files  int64 // of the moment, the database not counted
	Bytes  int64 // of them and the database
	Copied int64 // files that were copied
	// CopiedBytes is the bytes that were copied, those of the database with them.
	CopiedBytes int64
	// Again names files that were in the target, damaged or cut short, and are copied again.
	Again []string
	// Damaged says what is damaged in the service itself. It was copied as it is.
	Damaged []string
	// Lost names files of older moments that are damaged or missing in the target, and that
	// the service does not have any more, and manifests that are not proven to be the service's.
	Lost    []string
	Removed int64 // files that no moment needs any more
	Gone    int64 // moments that were removed
}

// maxNamed bounds the lists of a Report.
const maxNamed = 100

func note(list *[]string, format string, a ...any) {
	if len(*list) < maxNamed {
		*list = append(*list, fmt.Sprintf(format, a...))
	}
}

// copying is one backup.
type copying struct {
	*Source
	Options
	to Target
	r  *Report

	path  string // of the copy of the database
	proof secret.Wrapper
	copy  Copy
	facts Facts
	there map[string]int64 // bytes of the target's files, by name
	older []string         // moments, ascending
	known map[string]File  // that the newest of them has which is proven, by name
	pace  *work.Pace
	done  int64
	total int64
}

// Run makes a backup. It may be cut off anywhere and run again: what was copied is not
// copied again, and backups that were there stay. A Report comes with an error too. Damage
// of the service is not an error: it is in the Report.
func (s *Source) Run(ctx context.Context, to Target, o Options) (Report, error) {
	c := &copying{Source: s, Options: o, to: to, r: &Report{}, pace: &work.Pace{Rate: o.Rate, Now: time.Now}}
	if err := c.run(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return *c.r, fmt.Errorf("backup: %w", err)
	}
	return *c.r, nil
}

func (c *copying) run(ctx context.Context) (err error) {
	unlock, err := c.to.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if c.older, c.there, err = momentsOf(ctx, c.to); err != nil {
		return fmt.Errorf("looking through the target: %w", err)
	}
	scratch, err := c.Scratch()
	if err != nil {
		return fmt.Errorf("making room for a copy of the database: %w", err)
	}
	defer os.RemoveAll(scratch)
	c.path = filepath.Join(scratch, "database")
	hold, err := c.Hold(ctx, "backup")
	if err != nil {
		return err
	}
	defer hold.Release()
	held := hold.Context()
	m, err := c.take(held)
	if c.copy != nil {
		defer func() { err = errors.Join(err, c.copy.Close()) }()
	}
	if err == nil {
		err = c.save(held, hold, m)
	}
	if err != nil {
		if cause := context.Cause(held); cause != nil && ctx.Err() == nil {
			return cause
		}
		return err
	}
	hold.Release()
	return c.prune(ctx)
}

// take copies the database to the scratch folder.
func (c *copying) take(ctx context.Context) (m Moment, err error) {
	secrets, err := c.Secrets(ctx, func() error {
		m.At = c.Now().UTC() // what is committed before this call is in the copy
		return c.Database.CopyTo(ctx, c.path)
	})
	if err != nil {
		return m, err
	}
	m.Keys, m.Extras, c.proof = secrets.Keys, secrets.Extras, secrets.Proofs
	if c.copy, err = c.Database.OpenCopy(ctx, c.path); err != nil {
		return m, err
	}
	if c.facts, err = c.copy.Facts(ctx); err != nil {
		return m, err
	}
	m.Format, m.Store, m.Schema, m.Program = format, c.facts.Store, c.facts.Schema, c.Program
	if err := claim(ctx, c.to, m.Store); err != nil {
		return m, err
	}
	if err := c.recall(ctx); err != nil {
		return m, err
	}
	m.Name = m.At.Format(momentLayout)
	for t := m.At; c.taken(m.Name); m.Name = t.Format(momentLayout) {
		t = t.Add(time.Microsecond)
	}
	return m, nil
}

// taken reports whether a name of a moment was used.
func (c *copying) taken(moment string) bool {
	_, manifest := c.there[moments+moment+manifestSuffix]
	_, database := c.there[databases+moment+databaseSuffix]
	return manifest || database
}

// recall learns the checksums of what is in the target from the newest manifest that the
// service has made: what somebody else has put there is not taken for its own. Without one
// everything that is there is looked at.
func (c *copying) recall(ctx context.Context) error {
	c.known = map[string]File{}
	for i := len(c.older) - 1; i >= 0; i-- {
		m, err := readManifest(ctx, c.to, c.older[i])
		if err == nil {
			err = m.Prove(c.Proofs)
		}
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrUnproven) { // prune tells it
			continue
		}
		if err != nil {
			return err
		}
		for _, f := range m.Files {
			if !f.Missing {
				c.known[f.Name] = f
			}
		}
		return nil
	}
	return nil
}

// save copies the files that the copy of the database needs, then that, then the manifest.
func (c *copying) save(ctx context.Context, hold Hold, m Moment) error {
	files, err := c.files(ctx)
	if err != nil {
		return err
	}
	if m.Database, err = c.putDatabase(ctx, m.Name); err != nil {
		return err
	}
	// If it was lost meanwhile, something may be missing in the target that is not damage.
	if err := hold.Still(ctx); err != nil {
		return err
	}
	manifest, err := encode(m, files, c.proof)
	if err != nil {
		return err
	}
	if err := c.put(ctx, moments+m.Name+manifestSuffix, manifest); err != nil {
		return err
	}
	c.r.Moment, c.r.At = m.Name, m.At
	return nil
}

// putDatabase copies the database from the scratch folder.
func (c *copying) putDatabase(ctx context.Context, moment string) (File, error) {
	in, err := os.Open(c.path)
	if err != nil {
		return File{}, err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return File{}, err
	}
	f := File{Name: databases + moment + databaseSuffix}
	r := &summing{ctx: ctx, r: in, pace: c.pace, told: func(int64) {}}
	if err := c.to.Put(ctx, f.Name, r, st.Size()); err != nil {
		return File{}, fmt.Errorf("writing %s: %w", f.Name, err)
	}
	f.Bytes, f.SHA256 = r.n, r.sum()
	c.r.Bytes += r.n
	c.r.CopiedBytes += r.n
	return f, in.Close()
}
