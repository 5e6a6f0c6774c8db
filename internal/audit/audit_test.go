package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLog(Options{Failed: func(err error) { t.Error(err) }}, f)
	at := f.checked
	f.now = func() time.Time { return at }
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() { l.Write(Record{EventName: strconv.Itoa(i)}) })
	}
	writers.Wait()
	if got := names(t, path); len(got) != 8 {
		t.Errorf("there are records %v, want 8", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}

	// Rotated: it goes on in a new file of the name, and loses nothing.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Write(Record{EventName: "at once"})
	at = at.Add(checkEvery)
	l.Write(Record{EventName: "later"})
	if old, fresh := names(t, path+".1"), names(t, path); len(old) != 9 || len(fresh) != 1 || fresh[0] != "later" {
		t.Errorf("after a rotation there are %v and %v", old, fresh)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// What can't be written is told once, and the log goes on when it can be.
func TestLogThatCannotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	told := 0
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLog(Options{Failed: func(error) { told++ }}, f)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.file.Close()
	f.file = full
	l.Write(Record{EventName: "lost"})
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}
	l.Write(Record{EventName: "kept"})
	if got := names(t, path); told != 1 || len(got) != 1 || got[0] != "kept" {
		t.Errorf("told %d times; there are %v", told, got)
	}
	if _, err := OpenFile(filepath.Join(path, "below")); err == nil {
		t.Error("a file below a file was opened")
	}
}

// disk is one that lets room go for records named so, and lets those take it.
type disk struct {
	may, letGo string
	asked      int // to let room go
}

func (d *disk) May(r Record) bool { return strings.Contains(d.may, r.EventName) }

func (d *disk) LetGo(r Record) bool {
	d.asked++
	return strings.Contains(d.letGo, r.EventName)
}

// On a full disk room is made for a record, which is then not lost; but none takes what is
// not for it, unless it goes elsewhere.
func TestLogOnAFullDisk(t *testing.T) {
	for _, c := range []struct {
		name      string
		disk      disk
		full      bool
		elsewhere bool
		kept      int
		asked     int
	}{
		{"room is made", disk{may: "x", letGo: "x"}, true, false, 1, 1},
		{"there is no room to make", disk{may: "x"}, true, false, 0, 1},
		{"there is room", disk{may: "x"}, false, false, 1, 0},
		{"what there is is for others", disk{letGo: "x"}, false, false, 0, 0},
		{"another disk has room", disk{}, false, true, 1, 0},
		{"another disk is full", disk{may: "x", letGo: "x"}, true, true, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			f, err := OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f.Elsewhere = c.elsewhere
			if c.full {
				_ = f.file.Close()
				if f.file, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
					t.Fatal(err)
				}
			}
			told := 0
			l := NewLog(Options{Failed: func(error) { told++ }, Disk: &c.disk}, f)
			l.Write(Record{EventName: "x"})
			if got := names(t, path); len(got) != c.kept || told != 1-c.kept || c.disk.asked != c.asked {
				t.Errorf("%d records are kept, want %d; told of %d that were lost; asked %d times for room, want %d", len(got), c.kept, told, c.disk.asked, c.asked)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A line that was cut off by a full disk spoils no other.
func TestLogAfterATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLog(Options{Failed: func(err error) { t.Error(err) }}, f)
	if _, err := f.file.WriteString(`{"eventName":"cut o`); err != nil {
		t.Fatal(err)
	}
	f.line.torn = true
	l.Write(Record{EventName: "whole"})
	l.Write(Record{EventName: "next"})
	text, err := os.ReadFile(path)
	if lines := bytes.Split(text, []byte("\n")); err != nil || len(lines) != 4 || !json.Valid(lines[1]) || !json.Valid(lines[2]) {
		t.Errorf("there is %q, %v", text, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func names(t *testing.T, path string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		names = append(names, r.EventName)
	}
	return names
}
