package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bucket is a Bucket in memory. It fails while it is down, and dies at a put, which it then
// has.
type bucket struct {
	mu      sync.Mutex // guards what follows
	down    bool
	refuses string              // an event, whose object is refused; empty: none
	dies    int                 // puts until one is stored without an answer; 0: none
	objects map[string][]string // names of events, by key
	puts    int
}

var errDown, errRefused = errors.New("down"), errors.New("refused")

func (b *bucket) Put(_ context.Context, key string, content []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.puts++; b.down {
		return errDown
	}
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	var o struct{ Records []Record }
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	var names []string
	for _, r := range o.Records {
		names = append(names, r.EventName)
	}
	if b.refuses != "" && slices.Contains(names, b.refuses) {
		return errRefused
	}
	if b.objects == nil {
		b.objects = map[string][]string{}
	}
	if was, ok := b.objects[key]; ok && !slices.Equal(was, names) {
		return fmt.Errorf("%s had %v, and is to have %v", key, was, names)
	}
	b.objects[key] = names
	if b.dies--; b.dies == 0 {
		return errDown
	}
	return nil
}

// names returns the events of all objects, in order, and their keys without what is random.
func (b *bucket) names() (events, keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, names := range b.objects {
		events = append(events, names...)
		keys = append(keys, regexp.MustCompile(`_[A-Z2-7]{26}\.json\.gz$`).ReplaceAllString(key, ""))
	}
	slices.Sort(events)
	slices.Sort(keys)
	return events, keys
}

func openSpool(t *testing.T, dir string, to Bucket, failed func(error)) *Spool {
	t.Helper()
	s, err := OpenSpool(SpoolOptions{Dir: dir, To: to, Account: "000000000000", Region: "us-east-1", Every: time.Minute, Now: time.Now, Failed: failed})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func record(name, account, region string) Record {
	return Record{EventName: name, RecipientAccountID: account, AWSRegion: region}
}

// TestSpool: records wait for others, and come to the objects that CloudTrail would make.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &bucket{}
		s := openSpool(t, dir, to, func(err error) { t.Error(err) })
		l := NewLog(Options{Failed: func(err error) { t.Error(err) }}, s)
		ctx, stop := context.WithCancel(t.Context())
		var runs sync.WaitGroup
		runs.Go(func() { s.Run(ctx) })
		for _, r := range []Record{
			record("a", "111122223333", "eu-north-1"), record("b", "111122223333", "us-east-1"), record("c", "111122223333", "eu-north-1"), record("d", "", ""), record("e", "../../up", "x/y"),
		} {
			l.Write(r)
		}
		time.Sleep(59 * time.Second)
		if got, _ := to.names(); len(got) != 0 {
			t.Errorf("delivered at once: %v", got)
		}
		time.Sleep(3 * time.Second)
		got, keys := to.names()
		want := []string{
			"AWSLogs/000000000000/CloudTrail/us-east-1/2000/01/01/000000000000_CloudTrail_us-east-1_20000101T0000Z",
			"AWSLogs/111122223333/CloudTrail/eu-north-1/2000/01/01/111122223333_CloudTrail_eu-north-1_20000101T0000Z",
			"AWSLogs/111122223333/CloudTrail/us-east-1/2000/01/01/111122223333_CloudTrail_us-east-1_20000101T0000Z",
		}
		if !slices.Equal(got, []string{"a", "b", "c", "d", "e"}) {
			t.Errorf("delivered %v", got)
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(time.Hour)
		l.Write(record("f", "", ""))
		time.Sleep(62 * time.Second)
		if got, _ := to.names(); len(got) != 6 || to.puts != 4 {
			t.Errorf("delivered %v with %d puts", got, to.puts)
		}
		stop()
		runs.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestABucketThatIsDown: calls go on, nothing is lost, and it is asked now and then.
func TestABucketThatIsDown(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to := &bucket{down: true}
		var told atomic.Int64
		s := openSpool(t, dir, to, func(err error) {
			if told.Add(1); !errors.Is(err, errDown) {
				t.Error(err)
			}
		})
		l := NewLog(Options{Failed: func(err error) { t.Error(err) }}, s)
		ctx, stop := context.WithCancel(t.Context())
		var runs sync.WaitGroup
		runs.Go(func() { s.Run(ctx) })
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprintf("%03d", i))
			l.Write(record(want[i], "", ""))
			time.Sleep(time.Minute)
		}
		if n := told.Load(); n < 80 || n > 120 {
			t.Errorf("told %d times in 100 minutes", n)
		}
		to.mu.Lock()
		to.down = false
		to.mu.Unlock()
		time.Sleep(3 * time.Minute)
		if got, _ := to.names(); !slices.Equal(got, want) {
			t.Errorf("delivered %v", got)
		}
		stop()
		runs.Wait()
		_ = l.Close()
	})
}

// TestASpoolWhoseProcessDies: at any point, no record is lost, and none is delivered under
// two keys.
func TestASpoolWhoseProcessDies(t *testing.T) {
	for dies := range 6 {
		dir, to := t.TempDir(), &bucket{dies: dies}
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		process := func(deliver bool, names ...string) { // it is never closed
			s := openSpool(t, dir, to, func(error) {})
			s.o.Now = func() time.Time { now = now.Add(time.Second); return now }
			l := NewLog(Options{Failed: func(err error) { t.Error(err) }}, s)
			for _, name := range names {
				l.Write(record(name, "", map[bool]string{true: "us-east-1", false: "eu-north-1"}[name < "c"]))
			}
			if deliver {
				s.o.Every = 0
				if err := s.settle(); err != nil {
					t.Fatal(err)
				}
				if err := s.deliver(t.Context()); err != nil && !errors.Is(err, errDown) {
					t.Fatal(err)
				}
			}
		}
		process(false, "a", "c")
		process(true, "b", "d")
		process(true)
		process(true, "e")
		process(true)
		if got, keys := to.names(); strings.Join(got, "") != "abcde" {
			t.Errorf("dies at put %d: delivered %v as %v", dies, got, keys)
		}
	}
}

// TestASpoolOfAServiceThatMoved: what is delivered again, since the process died or the S3 did not
// answer, has the keys that it had, though the service has another account and region now.
func TestASpoolOfAServiceThatMoved(t *testing.T) {
	dir, to := t.TempDir(), &bucket{dies: 2}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	process := func(account, region string, names ...string) {
		s := openSpool(t, dir, to, func(err error) { t.Error(err) })
		s.o.Account, s.o.Region, s.o.Every = account, region, 0
		s.o.Now = func() time.Time { now = now.Add(time.Second); return now }
		l := NewLog(Options{Failed: func(err error) { t.Error(err) }}, s)
		for _, name := range names {
			l.Write(record(name, "", "")) // about no account
			l.Write(record(name+"'", "", "eu-north-1"))
		}
		if err := s.settle(); err != nil {
			t.Fatal(err)
		}
		if err := s.deliver(t.Context()); err != nil && !errors.Is(err, errDown) {
			t.Fatal(err)
		}
	}
	process("111111111111", "us-east-1", "a")
	process("222222222222", "us-west-2", "b")
	got, keys := to.names()
	if strings.Join(got, " ") != "a a' b b'" {
		t.Errorf("delivered %v as %v", got, keys)
	}
	for i, want := range []string{"/111111111111/CloudTrail/eu-north-1/", "/111111111111/CloudTrail/us-east-1/", "/222222222222/CloudTrail/eu-north-1/", "/222222222222/CloudTrail/us-west-2/"} {
		if i >= len(keys) || !strings.Contains(keys[i], want) {
			t.Errorf("the keys are %q; want %s at %d", keys, want, i)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestASpoolAfterAFullDisk: what was cut off spoils nothing else.
func TestASpoolAfterAFullDisk(t *testing.T) {
	dir, to, told := t.TempDir(), &bucket{}, 0
	name := "01767323045000000-" + strings.Repeat("A", 26) + openSuffix
	lines := `{"eventName":"a"}` + "\n" + `{"eventName":"cut o` + "\n" + `{"eventName":"b"}` + "\n" + `{"eventName":"and o`
	if err := os.WriteFile(filepath.Join(dir, name), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "other.jsonl"), []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openSpool(t, dir, to, func(error) { told++ })
	if err := s.deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := to.names(); !slices.Equal(got, []string{"a", "b"}) || told != 1 {
		t.Errorf("delivered %v, told %d times", got, told)
	}
}

// TestBothPlaces: one that fails does not keep the other.
func TestBothPlaces(t *testing.T) {
	path, to, told := filepath.Join(t.TempDir(), "log"), &bucket{}, 0
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := openSpool(t, t.TempDir(), to, func(err error) { t.Error(err) })
	l := NewLog(Options{Failed: func(error) { told++ }}, f, s)
	l.Write(record("a", "", ""))
	if s.file, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	l.Write(record("b", "", ""))
	l.Write(record("c", "", ""))
	if got := names(t, path); !slices.Equal(got, []string{"a", "b", "c"}) || told != 1 {
		t.Errorf("the file has %v, told %d times", got, told)
	}
	if !l.Kept() || NewLog(Options{}).Kept() || (*Log)(nil).Kept() {
		t.Error("it is not known whether records are kept")
	}
}

// stalled is a Bucket that takes a put and does not answer, the first times.
type stalled struct {
	bucket
	times int
}

// Put implements Bucket.
func (b *stalled) Put(ctx context.Context, key string, content []byte) error {
	if b.times--; b.times >= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	return b.bucket.Put(ctx, key, content)
}

// TestABucketThatStalls: meanwhile records become durable and files complete, and the put
// is tried again.
func TestABucketThatStalls(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		to, told := &stalled{times: 1}, 0
		s := openSpool(t, dir, to, func(error) { told++ })
		l := NewLog(Options{Failed: func(err error) { t.Error(err) }}, s)
		ctx, stop := context.WithCancel(t.Context())
		var runs sync.WaitGroup
		runs.Go(func() { s.Run(ctx) })
		l.Write(record("a", "", ""))
		time.Sleep(62 * time.Second) // it is being put
		l.Write(record("b", "", ""))
		time.Sleep(62 * time.Second)
		if complete, err := s.files(completeSuffix); err != nil || len(complete) != 2 {
			t.Errorf("while the bucket stalls, %v are complete, %v", complete, err)
		}
		time.Sleep(2 * putFor)
		if got, _ := to.names(); !slices.Equal(got, []string{"a", "b"}) || told != 1 {
			t.Errorf("delivered %v, told %d times", got, told)
		}
		stop()
		runs.Wait()
		_ = l.Close()
	})
}

// TestAFileThatCannotBeRead keeps no other.
func TestAFileThatCannotBeRead(t *testing.T) {
	dir, to := t.TempDir(), &bucket{}
	for name, text := range map[string]string{"01767323045000000-" + strings.Repeat("A", 26): "", "01767323045000001-" + strings.Repeat("B", 26): `{"eventName":"b"}` + "\n"} {
		var err error
		if path := filepath.Join(dir, name+completeSuffix); text == "" {
			err = os.Mkdir(path, 0o700) // reading it fails
		} else {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s := openSpool(t, dir, to, func(err error) { t.Error(err) })
	if err := s.deliver(t.Context()); err == nil {
		t.Error("it is not said that a file can't be read")
	}
	if got, _ := to.names(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("delivered %v", got)
	}
}

// TestARefusedFile: a file that the bucket refuses stays, and keeps no other from being delivered.
func TestARefusedFile(t *testing.T) {
	dir, to := t.TempDir(), &bucket{refuses: "a"}
	for i, event := range []string{"a", "b", "c"} {
		name := fmt.Sprintf("%017d-%s%s", 1767323045000000+i, strings.Repeat(string(rune('A'+i)), 26), completeSuffix)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"eventName":"`+event+`"}`+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := openSpool(t, dir, to, func(err error) { t.Error(err) })
	if err := s.deliver(t.Context()); !errors.Is(err, errRefused) {
		t.Errorf("delivering gives %v", err)
	}
	if got, _ := to.names(); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("delivered %v", got)
	}
	to.refuses = ""
	if err := s.deliver(t.Context()); err != nil {
		t.Error(err)
	}
	if got, _ := to.names(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("then delivered %v", got)
	}
}

// TestAFileThatSomebodyRemoves takes what is in it along, and nothing that comes later.
func TestAFileThatSomebodyRemoves(t *testing.T) {
	dir, to := t.TempDir(), &bucket{}
	s := openSpool(t, dir, to, func(err error) { t.Error(err) })
	s.o.Every = 0
	l := NewLog(Options{Failed: func(err error) { t.Error(err) }}, s)
	l.Write(record("lost", "", ""))
	if err := os.Remove(s.file.Name()); err != nil {
		t.Fatal(err)
	}
	if err := s.settle(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("settling: %v", err)
	}
	l.Write(record("kept", "", ""))
	if err := errors.Join(s.settle(), s.deliver(t.Context())); err != nil {
		t.Error(err)
	}
	if got, _ := to.names(); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("delivered %v", got)
	}
}

// TestTheNameOfAFileIsDurable as soon as its first lines are: without it they are lost.
func TestTheNameOfAFileIsDurable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	s := openSpool(t, dir, &bucket{}, func(error) {})
	if err := s.append([]byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+"-elsewhere"); err != nil { // a folder that can't be made durable
		t.Fatal(err)
	}
	if err := s.settle(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("settled: %v", err)
	}
	if err := os.Rename(dir+"-elsewhere", dir); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is tried again with the next lines
		if err := errors.Join(s.append([]byte(`{}`)), s.settle()); err != nil {
			t.Fatal(err)
		}
	}
	if !s.named {
		t.Error("the name is not durable")
	}
}
