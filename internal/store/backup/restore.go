package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/work"
)

// Backup is a summary of one backup in a target.
type Backup struct {
	Moment string
	At     time.Time
	Files  int64
	Bytes  int64
	Damage string // why it can't be restored; empty: its manifest is whole
	Before int64  // files that were damaged or missing when it was made, and were not copied since
}

// List returns the backups in a target, the oldest first.
func List(ctx context.Context, t Target) ([]Backup, error) {
	if _, err := whose(ctx, t); err != nil {
		return nil, err
	}
	names, _, err := momentsOf(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("backup: looking through the target: %w", err)
	}
	list := make([]Backup, 0, len(names))
	damaged := map[string][]int{} // by file: the backups in list that have it so
	for _, name := range names {
		b := Backup{Moment: name}
		b.At, _ = time.Parse(momentLayout, name) // momentsOf has checked it
		m, err := readManifest(ctx, t, name)
		switch {
		case errors.Is(err, ErrDamaged):
			b.Damage = err.Error()
		case err != nil:
			return nil, err
		default:
			b.Files, b.Bytes = int64(len(m.Files)), m.Database.Bytes
			for _, f := range m.Files {
				b.Bytes += f.Bytes
			}
		}
		list = append(list, b)
		if m != nil {
			countDamaged(list, damaged, m.Files)
		}
	}
	return list, nil
}

// countDamaged counts the files that are damaged in the last backup of list, and no more in
// those before it what is whole in the last one.
func countDamaged(list []Backup, damaged map[string][]int, files []File) {
	last := len(list) - 1
	for _, f := range files {
		switch {
		case f.Missing:
			list[last].Before++
		case f.Damage != "":
			list[last].Before++
			damaged[f.Name] = append(damaged[f.Name], last)
		case len(damaged) > 0:
			for _, i := range damaged[f.Name] {
				list[i].Before--
			}
			delete(damaged, f.Name)
		}
	}
}

// whose returns the identity of the store that the backups are of. ErrNoBackup.
func whose(ctx context.Context, t Target) (string, error) {
	id, err := identify(ctx, t)
	if err == nil && id == "" {
		err = fmt.Errorf("%w: it has no %s", ErrNoBackup, markerName)
	}
	return id, err
}

// Restoration is a backup that is about to be restored. Nothing is written before Run.
type Restoration struct {
	Manifest
	// Unfit names the files that are missing in the target, or not as long as they should
	// be. Others may be found damaged when they are copied.
	Unfit []string
	// Before says what was damaged already when the backup was made. What was missing then is
	// lost (Restored.Lost).
	Before []string

	from  Target
	there map[string]int64
	newer []string // moments, ascending
}

// Open finds the newest backup of a time or before it; the zero time: the newest.
// Whether the service has made it, Authenticate tells. ErrNoBackup, ErrDamaged, ErrFormat.
func Open(ctx context.Context, t Target, at time.Time) (*Restoration, error) {
	store, err := whose(ctx, t)
	if err != nil {
		return nil, err
	}
	names, there, err := momentsOf(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("backup: looking through the backup: %w", err)
	}
	fits := names
	if !at.IsZero() {
		last := at.UTC().Format(momentLayout)
		fits = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n > last })
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("%w: none was completed", ErrNoBackup)
	case len(fits) == 0:
		return nil, fmt.Errorf("%w of %s or before: the oldest is %s", ErrNoBackup, at.UTC().Format(time.RFC3339), names[0])
	}
	m, err := readManifest(ctx, t, fits[len(fits)-1])
	if err != nil {
		return nil, err
	}
	if m.Store != store {
		return nil, fmt.Errorf("%w: the backup of %s is of store %s, and %s says %s", ErrDamaged, m.Name, m.Store, markerName, store)
	}
	r := &Restoration{Manifest: *m, from: t, there: there, newer: slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n <= m.Name })}
	r.compare()
	return r, nil
}

// Authenticate returns nil if the backup is the service's own, whose master keys proofs opens
// the proofs of. Files that were damaged when it was made, and have been copied again since, are
// then taken as the newer backup has them. ErrUnproven.
func (r *Restoration) Authenticate(ctx context.Context, proofs secret.Wrapper) error {
	if err := r.Prove(proofs); err != nil {
		return err
	}
	damaged := map[string]int{}
	for i, f := range r.Files {
		if f.Damage != "" && !f.Missing {
			damaged[f.Name] = i
		}
	}
	for _, name := range r.newer {
		if len(damaged) == 0 {
			break
		}
		m, err := readManifest(ctx, r.from, name)
		if err == nil {
			err = m.Prove(proofs)
		}
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrUnproven) {
			continue
		}
		if err != nil {
			return err
		}
		for _, f := range m.Files {
			if i, ok := damaged[f.Name]; ok && f.Damage == "" && !f.Missing {
				r.Files[i] = f
				delete(damaged, f.Name)
			}
		}
	}
	r.compare()
	return nil
}

// compare notes what is wrong with files by what is known without reading them.
func (r *Restoration) compare() {
	r.Before, r.Unfit = nil, nil
	for _, f := range append(slices.Clone(r.Files), r.Database) {
		size, ok := r.there[f.Name]
		switch {
		case f.Missing:
			continue
		case f.Damage != "":
			r.Before = append(r.Before, f.Name+": "+f.Damage)
		}
		switch {
		case !ok:
			r.Unfit = append(r.Unfit, f.Name+" is missing")
		case size != f.Bytes:
			r.Unfit = append(r.Unfit, fmt.Sprintf("%s has %d bytes, and had %d", f.Name, size, f.Bytes))
		}
	}
}

// RestoreOptions are how a backup is restored.
type RestoreOptions struct {
	Rate     int64 // bytes a second that are read at most; 0: any
	Progress func(done, total int64)
	// Damaged says what becomes of files that are not as they were written.
	Damaged Handling
	// Database is the name that the database gets.
	Database string
}

// Handling is what becomes of damaged files of a backup.
type Handling int

// What becomes of them.
const (
	Refuse Handling = iota // the restoration fails and names them
	// Salvage restores what is whole. Damaged files of the store come as they are, since
	// each block in them proves itself; those of the embedded S3, which can't, are left out.
	Salvage
)

// Restored says what a restoration did.
type Restored struct {
	Files int64
	Bytes int64
	Lost  []Loss // with Salvage
}

// Loss is a file that a backup should have had.
type Loss struct {
	Name string // "blocks/pack/…"
	Why  string
	Gone bool // nothing of it is there
}

// Fit returns an ErrDamaged that names what is missing in the target, unless damaged files
// are to be salvaged.
func (r *Restoration) Fit(how Handling) error {
	if len(r.Unfit) > 0 && how == Refuse {
		return r.refuse(r.Unfit)
	}
	return nil
}

// Run copies the backup to a data directory, each file durably, the database last. What is
// there of an earlier run is not copied again if it is as it should be. ErrDamaged.
func (r *Restoration) Run(ctx context.Context, to *Dir, o RestoreOptions) (done Restored, err error) {
	if err := r.Fit(o.Damaged); err != nil {
		return done, err
	}
	c := &copying{Options: Options{Rate: o.Rate, Progress: o.Progress}, pace: &work.Pace{Rate: o.Rate, Now: time.Now}}
	c.total = r.Database.Bytes
	for _, f := range r.Files {
		c.total += f.Bytes
	}
	for _, f := range r.Files {
		if f.Missing {
			done.Lost = append(done.Lost, Loss{f.Name, "it was missing when the backup was made: " + f.Damage, true})
			continue
		}
		lost, err := r.file(ctx, c, to, f, f.Name, o.Damaged)
		if err != nil {
			return done, err
		}
		if lost != nil {
			done.Lost = append(done.Lost, *lost)
		}
		done.Files++
		done.Bytes += f.Bytes
	}
	if _, err := r.file(ctx, c, to, r.Database, o.Database, Refuse); err != nil {
		return done, err
	}
	done.Bytes += r.Database.Bytes
	return done, nil
}

func (r *Restoration) refuse(what []string) error {
	some, more := what, ""
	if len(some) > 10 {
		some, more = what[:10], fmt.Sprintf(", and %d more", len(what)-10)
	}
	return fmt.Errorf("%w: %s%s. With --partial, what is whole is restored", ErrDamaged, strings.Join(some, "; "), more)
}

// file restores one file.
func (r *Restoration) file(ctx context.Context, c *copying, to *Dir, f File, as string, how Handling) (*Loss, error) {
	err := r.once(ctx, c, to, f, as)
	bad, isUnfit := errors.AsType[unfitError](err)
	switch {
	case err == nil:
		return nil, nil //nolint:nilnil // nothing of it is lost
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !isUnfit:
		return nil, fmt.Errorf("restoring %s: %w", f.Name, err)
	case how == Refuse:
		return nil, r.refuse([]string{f.Name + ": " + bad.Error()})
	}
	loss := &Loss{Name: f.Name, Why: bad.Error(), Gone: true}
	if !strings.HasPrefix(f.Name, Blocks+"/") {
		return loss, nil
	}
	in, err := r.from.Get(ctx, f.Name)
	if err != nil {
		return loss, ctx.Err()
	}
	defer in.Close()
	if err := to.Put(ctx, as, io.LimitReader(in, f.Bytes+copyBytes), f.Bytes); err != nil {
		return loss, ctx.Err() // what can't be read
	}
	loss.Gone = false
	return loss, nil
}

// unfitError says how a file is not as it was written.
type unfitError struct{ error }

func (e unfitError) Unwrap() error { return e.error }

func unfit(format string, a ...any) error { return unfitError{fmt.Errorf(format, a...)} }

// once copies a file, unless it is there, and compares it with its checksum before it has
// its name.
func (r *Restoration) once(ctx context.Context, c *copying, to *Dir, f File, as string) error {
	if there, err := to.Get(ctx, as); err == nil {
		in := &summing{ctx: ctx, r: there, pace: c.pace, told: func(int64) {}}
		_, err := io.Copy(io.Discard, in)
		if err = errors.Join(err, there.Close()); err == nil && in.n == f.Bytes && in.sum() == f.SHA256 {
			c.tell(f.Bytes)
			return nil
		}
	}
	body, err := r.from.Get(ctx, f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return unfit("it is missing")
	}
	if err != nil {
		return err
	}
	defer body.Close()
	in := c.summing(ctx, body)
	return to.Put(ctx, as, &proving{in: in, want: f}, f.Bytes)
}

// proving fails at the end of a file that is not what it should be.
type proving struct {
	in   *summing
	want File
}

func (p *proving) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	switch {
	case err == nil && p.in.n > p.want.Bytes: // a target must not fill the disk
		return n, unfit("it is longer than the %d bytes that it had", p.want.Bytes)
	case err == nil || p.in.ctx.Err() != nil:
		return n, err
	case !errors.Is(err, io.EOF):
		return n, unfit("%w", err)
	case p.in.n != p.want.Bytes:
		return n, unfit("it has %d bytes, and had %d", p.in.n, p.want.Bytes)
	case p.in.sum() != p.want.SHA256:
		return n, unfit("it is not what was written: its checksum is another")
	}
	return n, err
}
