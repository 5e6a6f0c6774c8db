package backup_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/store/backup"
)

// manifestOf returns the lines of a manifest.
func (w *world) manifestOf(t *testing.T, moment string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.root, "moments", moment+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
}

// forge writes a manifest with everything in it that one can compute who has no key. Its last
// line gets a proof, or none if that is empty.
func (w *world) forge(t *testing.T, moment string, lines []string, proof string) {
	t.Helper()
	body := strings.Join(lines[:len(lines)-1], "")
	sum := sha256.Sum256([]byte(body))
	end := map[string]any{"end": hex.EncodeToString(sum[:])}
	if proof != "" {
		end["proof"] = proof
	}
	last, err := json.Marshal(end)
	if err != nil {
		t.Fatal(err)
	}
	n, err := json.Marshal(len(lines) - 1)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := io.WriteString(z, body+`{"lines":`+string(n)+`,`+string(last[1:])+"\n"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	w.put(t, "moments/"+moment+".json.gz", out.Bytes())
}

func (w *world) put(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.root, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *world) get(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.root, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// proofIn returns the proof in the last line of a manifest.
func proofIn(t *testing.T, lines []string) string {
	t.Helper()
	var end struct{ Proof string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.Proof == "" {
		t.Fatal(lines[len(lines)-1], err)
	}
	return end.Proof
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// TestTamperedTarget: whoever can write to the target changes what is in it, checksums and
// all, and can't have it restored.
func TestTamperedTarget(t *testing.T) {
	for name, tt := range map[string]struct {
		tamper func(t *testing.T, w *world, first, second string)
		want   error
		says   string
	}{
		"a file of the store": {func(t *testing.T, w *world, _, _ string) { w.put(t, root(1), []byte("good 1ne")) }, backup.ErrDamaged, root(1)},
		"an object":           {func(t *testing.T, w *world, _, _ string) { w.put(t, object(2), []byte("good owt")) }, backup.ErrDamaged, object(2)},
		"the database":        {func(t *testing.T, w *world, _, s string) { w.put(t, "databases/"+s+".db", []byte("{}")) }, backup.ErrDamaged, ".db"},
		"an older database": {func(t *testing.T, w *world, f, s string) {
			w.put(t, "databases/"+s+".db", w.get(t, "databases/"+f+".db"))
		}, backup.ErrDamaged, ".db"},
		"whose it is": {func(t *testing.T, w *world, _, _ string) {
			w.put(t, "diskport-backup", []byte("diskport backup 1 "+strings.Repeat("6", 32)+"\n"))
		}, backup.ErrDamaged, "diskport-backup"},
		"an older manifest": {func(t *testing.T, w *world, f, s string) {
			w.put(t, "moments/"+s+".json.gz", w.get(t, "moments/"+f+".json.gz"))
		}, backup.ErrDamaged, "is of moment"},
		"a file and its checksum": {func(t *testing.T, w *world, _, s string) {
			lines := w.manifestOf(t, s)
			was := sumOf(w.get(t, root(1)))
			w.put(t, root(1), []byte("good 1ne"))
			for i := range lines {
				lines[i] = strings.ReplaceAll(lines[i], was, sumOf([]byte("good 1ne")))
			}
			w.forge(t, s, lines, proofIn(t, lines))
		}, backup.ErrUnproven, "the proof of moments/"},
		"the database and its checksum": {func(t *testing.T, w *world, f, s string) {
			lines := w.manifestOf(t, s)
			old := w.get(t, "databases/"+f+".db")
			lines[0] = strings.ReplaceAll(lines[0], sumOf(w.get(t, "databases/"+s+".db")), sumOf(old))
			w.put(t, "databases/"+s+".db", old)
			w.forge(t, s, lines, "")
		}, backup.ErrUnproven, "has no proof"},
		"the older manifest as a new one": {func(t *testing.T, w *world, f, s string) {
			lines := w.manifestOf(t, f)
			lines[0] = strings.ReplaceAll(lines[0], f, s)
			w.put(t, "databases/"+s+".db", w.get(t, "databases/"+f+".db"))
			w.forge(t, s, lines, proofIn(t, lines))
		}, backup.ErrUnproven, "the proof of moments/"},
		"a file less": {func(t *testing.T, w *world, _, s string) {
			lines := w.manifestOf(t, s)
			w.forge(t, s, append(lines[:1], lines[2:]...), proofIn(t, lines))
		}, backup.ErrUnproven, "the proof of moments/"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(root(1), "one")
			w.add(object(2), "two")
			first := w.backup(t, backup.Options{})
			then := w.state()
			w.add(root(3), "three")
			second := w.backup(t, backup.Options{})
			whole := w.state()
			w.restores(t, time.Time{}, whole)
			tt.tamper(t, w, first.Moment, second.Moment)
			if _, _, err := w.restored(t, time.Time{}, backup.Refuse); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.want, tt.says)
			}
			if tt.want == backup.ErrUnproven && !bytes.Equal(w.get(t, root(1)), []byte("good 1ne")) {
				w.restores(t, first.At, then)
			}
		})
	}
}

// TestAnotherServicesProof: a manifest of this store that was made under another master key is
// refused, and a backup without any proof, as older versions made them, is named as such.
func TestAnotherServicesProof(t *testing.T) {
	w := newWorld(t)
	w.add(root(1), "one")
	own := w.proofs
	w.proofs = proofs(t, 2)
	w.backup(t, backup.Options{})
	w.proofs = own
	if _, _, err := w.restored(t, time.Time{}, backup.Refuse); !errors.Is(err, backup.ErrUnproven) {
		t.Errorf("got %v", err)
	}
	r, err := backup.Open(t.Context(), w.target, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), backup.NewDir(t.TempDir()), backup.RestoreOptions{Database: "db"}); err != nil {
		t.Errorf("without asking for a proof: %v", err)
	}
}

// TestNothingUnprovenIsTrusted: a backup does not take what a forged manifest says of files for
// true, and forged ones do not take the places of the service's own.
func TestNothingUnprovenIsTrusted(t *testing.T) {
	w := newWorld(t)
	w.add(object(2), "two")
	first := w.backup(t, backup.Options{Keep: 2})
	lines := w.manifestOf(t, first.Moment)
	was := sumOf(w.get(t, object(2)))
	w.put(t, object(2), []byte("good owt"))
	var forged []string
	for _, year := range []string{"2098", "2099"} {
		moment := year + first.Moment[4:]
		changed := make([]string, len(lines))
		for i := range lines {
			changed[i] = strings.ReplaceAll(strings.ReplaceAll(lines[i], was, sumOf([]byte("good owt"))), first.Moment, moment)
		}
		w.put(t, "databases/"+moment+".db", w.get(t, "databases/"+first.Moment+".db"))
		w.forge(t, moment, changed, proofIn(t, lines))
		forged = append(forged, moment)
	}
	for range 3 {
		r := w.backup(t, backup.Options{Keep: 2, Check: backup.Checksums})
		if got := strings.Join(r.Lost, "\n"); !strings.Contains(got, forged[0]) || !strings.Contains(got, forged[1]) {
			t.Errorf("lost: %s", got)
		}
		got, _, err := w.restored(t, r.At, backup.Refuse)
		if diff := cmp.Diff(w.state(), got); err != nil || diff != "" {
			t.Errorf("restored: %v (-want +got):\n%s", err, diff)
		}
	}
	list, err := backup.List(t.Context(), w.target)
	if err != nil || len(list) != 4 {
		t.Errorf("there are %d backups, %v: want the last two and the forged ones", len(list), err)
	}
}

// TestTakenAgain: a file that was damaged in the service when it was copied is copied again once
// it is whole, for all backups that have it; as long as it is not, the copy stays.
func TestTakenAgain(t *testing.T) {
	w := newWorld(t)
	w.add(root(1), "one")
	whole := w.files[root(1)]
	w.files[root(1)] = []byte("evil one")
	first := w.backup(t, backup.Options{})
	if len(first.Damaged) != 1 {
		t.Fatalf("report %+v", first)
	}
	w.files[root(1)] = []byte("evil ono")
	if r := w.backup(t, backup.Options{}); len(r.Again) != 0 || r.Copied != 0 || len(r.Damaged) != 1 {
		t.Errorf("while it is damaged: %+v", r)
	}
	if got := string(w.get(t, root(1))); got != "evil one" {
		t.Errorf("the copy became %q", got)
	}
	w.lists(t, 1, 1)
	w.files[root(1)] = whole
	r := w.backup(t, backup.Options{Check: backup.Checksums})
	if len(r.Again) != 1 || !strings.Contains(r.Again[0], root(1)) || r.Copied != 1 || len(r.Damaged) != 0 || len(r.Lost) != 0 {
		t.Errorf("once it is whole: %+v", r)
	}
	if r := w.backup(t, backup.Options{Check: backup.Checksums}); len(r.Again) != 0 || len(r.Lost) != 0 {
		t.Errorf("after that: %+v", r)
	}
	w.lists(t, 0, 0, 0, 0)
	w.restores(t, time.Time{}, w.state())
	w.restores(t, first.At, w.state())
}

// lists checks of how many files the backups are listed as damaged when they were made.
func (w *world) lists(t *testing.T, want ...int64) {
	t.Helper()
	list, err := backup.List(t.Context(), w.target)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, b := range list {
		got = append(got, b.Before)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the backups have %v damaged files, want %v", got, want)
	}
}
