package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
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

// On a full disk room is made for a record, which is then not lost.
func TestLogThatHasRoomMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.file.Close()
	if f.file, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	asked := 0
	l := NewLog(Options{Failed: func(err error) { t.Error(err) }, Room: func(r Record) bool {
		asked++
		return r.EventName == "kept"
	}}, f)
	l.Write(Record{EventName: "kept"})
	if got := names(t, path); asked != 1 || len(got) != 1 || got[0] != "kept" {
		t.Errorf("asked for room %d times; there are %v", asked, got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
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
