package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/identity/secret"
)

// Moment is what a backup is of.
type Moment struct {
	Format   int       `json:"format"`
	Name     string    `json:"moment"` // as in the names of its files
	At       time.Time `json:"at"`
	Store    string    `json:"store"`  // its identity
	Schema   int64     `json:"schema"` // of the database
	Program  string    `json:"program,omitempty"`
	Database File      `json:"database"`
	// Keys is a text for each master key that was in use, wrapped under it.
	Keys [][]byte `json:"keys,omitempty"`
	// Extras are small files of the data directory, by name.
	Extras map[string][]byte `json:"extras,omitempty"`
}

// File is a file of a backup.
type File struct {
	Name   string `json:"name"` // in the target
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
	// Damage is what was wrong with it already when it was copied; empty: nothing.
	Damage string `json:"damage,omitempty"`
	// Missing is set if there was nothing to copy.
	Missing bool `json:"missing,omitempty"`
}

// end is the last line of a manifest.
type end struct {
	Lines  int64  `json:"lines"`
	SHA256 string `json:"end"` // of all lines before it
	// Proof is that SHA256, wrapped under a master key of the service.
	Proof []byte `json:"proof,omitempty"`
}

// proofPurpose is what the proof of a manifest is bound to.
var proofPurpose = []byte("diskport:backup manifest")

// momentLayout is the form of a moment's name.
const momentLayout = "20060102T150405.000000Z"

// maxLine bounds a line of a manifest, in bytes.
const maxLine = 1 << 20

// encode returns a manifest, with its proof.
func encode(m Moment, files []File, proof secret.Wrapper) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(z, sum))
	err := lines.Encode(m)
	for _, f := range files {
		err = cmp.Or(err, lines.Encode(f))
	}
	all := hex.EncodeToString(sum.Sum(nil))
	err = cmp.Or(err, json.NewEncoder(z).Encode(end{int64(len(files) + 1), all, proof.Wrap([]byte(all), proofPurpose)}))
	err = cmp.Or(err, z.Close())
	return out.Bytes(), err
}

// Manifest is a backup, as its manifest describes it.
type Manifest struct {
	Moment
	Files []File

	end end
}

// Prove returns nil if the manifest was made by one who had a master key that opens proofs:
// by the service itself, and nothing in it has been changed since. ErrUnproven.
func (m *Manifest) Prove(proofs secret.Wrapper) error {
	name := moments + m.Name + manifestSuffix
	if len(m.end.Proof) == 0 {
		return fmt.Errorf("%w: %s has no proof: it was written by a version of diskport that made none, or by somebody else", ErrUnproven, name)
	}
	plain, err := proofs.Unwrap(m.end.Proof, proofPurpose)
	if err != nil || subtle.ConstantTimeCompare(plain, []byte(m.end.SHA256)) == 0 {
		return fmt.Errorf("%w: the proof of %s is not one of this service: it was changed, or put there by somebody else", ErrUnproven, name)
	}
	return nil
}

// readManifest reads the manifest of a moment. ErrDamaged, ErrFormat.
func readManifest(ctx context.Context, t Target, moment string) (*Manifest, error) {
	name := moments + moment + manifestSuffix
	r, err := t.Get(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer r.Close()
	m, err := decode(r)
	switch {
	case errors.Is(err, ErrFormat):
		return nil, fmt.Errorf("%s: %w", name, err)
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	case m.Name != moment:
		return nil, fmt.Errorf("%w: %s is of moment %.40q", ErrDamaged, name, m.Name)
	}
	return m, nil
}

func decode(r io.Reader) (*Manifest, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	d := newDecoder(z)
	line, err := d.next()
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(line, &m.Moment); err != nil {
		return nil, err
	}
	if m.Format != format {
		if _, err := io.Copy(io.Discard, z); err != nil { // it is damaged, and says nothing
			return nil, err
		}
		return nil, fmt.Errorf("%w: it is of format %d, and this program knows format %d: use the version of diskport that made it", ErrFormat, m.Format, format)
	}
	for {
		before := hex.EncodeToString(d.sum.Sum(nil))
		line, err := d.next()
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(line, []byte(`{"lines":`)) {
			var e end
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, err
			}
			if e.Lines != int64(len(m.Files)+1) || e.SHA256 != before {
				return nil, errors.New("its lines are not those that were written")
			}
			if _, err := d.next(); !errors.Is(err, io.ErrUnexpectedEOF) || d.lines.Err() != nil {
				return nil, errors.New("it does not end with its last line")
			}
			m.end = e
			return m, m.check()
		}
		var f File
		if err := json.Unmarshal(line, &f); err != nil {
			return nil, err
		}
		m.Files = append(m.Files, f)
	}
}

// check refuses names that are not those of files of a backup.
func (m *Manifest) check() error {
	if m.Database.Name != databases+m.Name+databaseSuffix {
		return fmt.Errorf("its database is %.100q", m.Database.Name)
	}
	for _, f := range m.Files {
		if tree, _, ok := strings.Cut(f.Name, "/"); !ok || !slices.Contains(trees, tree) || hidden(f.Name) || f.Bytes < 0 {
			return fmt.Errorf("it names %.100q", f.Name)
		}
	}
	return nil
}

// momentsOf returns the names of a target's moments, ascending, and the bytes of all its
// files by name.
func momentsOf(ctx context.Context, t Target) (names []string, files map[string]int64, err error) {
	files = map[string]int64{}
	err = t.List(ctx, func(e Entry) error {
		files[e.Name] = e.Bytes
		rest, ok := strings.CutPrefix(e.Name, moments)
		if name, manifest := strings.CutSuffix(rest, manifestSuffix); ok && manifest {
			if _, err := time.Parse(momentLayout, name); err == nil {
				names = append(names, name)
			}
		}
		return nil
	})
	slices.Sort(names)
	return names, files, err
}

// decoder reads lines and sums them up.
type decoder struct {
	lines *bufio.Scanner
	sum   hash.Hash
}

func newDecoder(r io.Reader) *decoder {
	d := &decoder{bufio.NewScanner(r), sha256.New()}
	d.lines.Buffer(nil, maxLine)
	return d
}

// next returns the next line, which is valid until it is called again.
func (d *decoder) next() ([]byte, error) {
	if !d.lines.Scan() {
		return nil, cmp.Or(d.lines.Err(), io.ErrUnexpectedEOF)
	}
	line := d.lines.Bytes()
	_, _ = d.sum.Write(line) // never fails
	_, _ = d.sum.Write([]byte{'\n'})
	return line, nil
}
