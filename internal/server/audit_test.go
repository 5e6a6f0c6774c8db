package server

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"golang.org/x/sys/unix"

	"github.com/diskport/diskport/internal/audit"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/space"
)

// TestTheAuditLogsBucketIsTheOperators: it is made if there is none, and another account's
// gets no records.
func TestTheAuditLogsBucketIsTheOperators(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.AuditLogs = []string{"s3://trail/some/prefix"}
	a := newApp(t, cfg)
	at, err := parseAuditPlace(cfg.AuditLogs[0])
	if err != nil {
		t.Fatal(err)
	}
	b := embeddedBucket{a, at.bucket}
	for range 2 { // it may be delivered again
		if err := b.Put(t.Context(), "key", []byte("records")); err != nil {
			t.Fatal(err)
		}
	}
	o, err := a.parts.objects.Object(t.Context(), "trail", "some/prefix/key", "")
	if err != nil || o.Size != 7 {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := a.parts.objects.CreateBucket(t.Context(), objects.Bucket{Name: "theirs", Account: "111122223333", Region: "us-east-1"}); err != nil {
		t.Fatal(err)
	}
	b.at.Bucket = "theirs"
	if err := b.Put(t.Context(), "key", []byte("records")); err == nil || !strings.Contains(err.Error(), "111122223333") {
		t.Errorf("another account's bucket: %v", err)
	}
}

// TestAnAuditLogElsewhere: records go to a bucket of another S3.
func TestAnAuditLogElsewhere(t *testing.T) {
	put := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPut && strings.Contains(r.Header.Get("Authorization"), "Credential=AUDITKEY/") {
			put <- r.URL.Path
		}
	}))
	defer srv.Close()
	cfg := config(t.TempDir())
	cfg.AuditEvery = time.Second
	cfg.AuditLogs = []string{"s3://trail/p?region=eu-west-1&endpoint=" + url.QueryEscape(srv.URL)}
	if _, err := New(t.Context(), cfg); err == nil {
		t.Fatal("without credentials")
	}
	cfg.AuditCredentials = credentials.NewStaticCredentialsProvider("AUDITKEY", "x", "")
	a := newApp(t, cfg)
	a.audit.Write(audit.Record{EventName: "x", RecipientAccountID: "111122223333", AWSRegion: "eu-north-1"})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{})
	go func() { a.spool.Run(ctx); close(done) }()
	if path := <-put; !strings.HasPrefix(path, "/trail/p/AWSLogs/111122223333/CloudTrail/eu-north-1/") {
		t.Errorf("it is at %s", path)
	}
	stop()
	<-done
}

func TestAuditPlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	for name, tt := range map[string]struct {
		places []string
		fails  bool
	}{
		"none":           {nil, false},
		"a file":         {[]string{file}, false},
		"both":           {[]string{file, "s3://b/p"}, false},
		"two buckets":    {[]string{"s3://b/p", "s3://c"}, true},
		"two files":      {[]string{file, file + "2"}, true},
		"no bucket":      {[]string{"s3://"}, true},
		"a relative one": {[]string{"log"}, true},
		"elsewhere":      {[]string{"s3://b?region=eu-west-1"}, true}, // without keys
	} {
		if err := (Config{AuditLogs: tt.places}).checkAudit(); (err != nil) != tt.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// smallDisk is a disk on which everything is counted and nothing written.
type smallDisk struct{ free, ballast int64 }

func (d *smallDisk) Room(string) (free, total int64, err error) { return d.free, 1 << 40, nil }
func (d *smallDisk) Ballast(string) (int64, error)              { return d.ballast, nil }
func (d *smallDisk) SetBallast(_ string, n int64) error {
	d.free, d.ballast = d.free+d.ballast-n, n
	return nil
}

// take is a write that takes n bytes.
func (d *smallDisk) take(n int64) error {
	if d.free < n {
		return unix.ENOSPC
	}
	d.free -= n
	return nil
}

// TestRecordsLeaveRoomForDeletions, however many there are, before the disk is full and
// between one deletion and the next.
func TestRecordsLeaveRoomForDeletions(t *testing.T) {
	for name, r := range map[string]audit.Record{
		"of what is refused": {ErrorCode: "AccessDenied"},
		"of what is read":    {ReadOnly: true},
		"of what succeeds":   {},
	} {
		t.Run(name, func(t *testing.T) {
			disk := &smallDisk{free: 200 << 20}
			guard, err := space.NewGuard(space.Options{Dir: "data", Disk: disk})
			if err != nil {
				t.Fatal(err)
			}
			room := recordRoom{guard}
			flood := func() (kept int) {
				for range 100_000 {
					const size = 4 << 10
					if !room.May(r) {
						continue
					}
					err := disk.take(size)
					for err != nil && room.LetGo(r) {
						err = disk.take(size)
					}
					if err == nil {
						kept++
					}
				}
				return kept
			}
			if kept := flood(); kept < 30_000 {
				t.Errorf("%d records were kept while there was room", kept)
			}
			for i := range 15 {
				if err := guard.Freeing(func() error { return disk.take(1 << 20) }); err != nil {
					t.Fatalf("deletion %d finds no room: %v; %d bytes of the ballast are left", i+1, err, disk.ballast)
				}
				flood()
			}
			disk.free = 100 << 20 // something was deleted
			if kept := flood(); kept < 10_000 {
				t.Errorf("%d records were kept once there was room again", kept)
			}
		})
	}
}
