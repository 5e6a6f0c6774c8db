package outbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/wake"
	"github.com/diskport/diskport/internal/work"
)

var sent = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// receiver answers with the statuses in turn, then with 200, and keeps what it took.
type receiver struct {
	statuses []int
	got      []string // ids of resources, with the status
	headers  []string
	bodies   [][]byte
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var e struct {
		Detail struct {
			ID string `json:"snapshot_id"`
		}
	}
	_ = json.Unmarshal(body, &e)
	status := http.StatusOK
	if len(r.statuses) > 0 {
		status, r.statuses = r.statuses[0], r.statuses[1:]
	}
	r.got = append(r.got, e.Detail.ID[strings.LastIndex(e.Detail.ID, "/")+1:]+" "+http.StatusText(status))
	r.headers, r.bodies = append(r.headers, req.Header.Get(SignatureHeader)), append(r.bodies, body)
	if status == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
}

// pending is a Store of events in memory.
type pending struct{ events []Event }

func (p *pending) Pending(_ context.Context, after int64, limit int) ([]Event, error) {
	later := slices.DeleteFunc(slices.Clone(p.events), func(e Event) bool { return e.ID <= after })
	return later[:min(limit, len(later))], nil
}

func (p *pending) Told(_ context.Context, ids ...int64) error {
	p.events = slices.DeleteFunc(p.events, func(e Event) bool { return slices.Contains(ids, e.ID) })
	return nil
}

func (p *pending) Forget(context.Context, time.Time) (int, error) { return 0, nil }

func TestWebhook(t *testing.T) {
	tests := map[string]struct {
		statuses []int
		want     []string // of two runs, with a minute between them
		fails    bool     // the first run
	}{
		"taken":         {nil, []string{"a OK", "b OK", "a OK", "c OK"}, false},
		"takes b later": {[]int{200, 503}, []string{"a OK", "b Service Unavailable", "a OK", "c OK", "b OK"}, false},
		"a in order":    {[]int{503}, []string{"a Service Unavailable", "b OK", "c OK", "a OK", "a OK"}, false},
		"is down":       {[]int{503, 503, 503}, []string{"a Service Unavailable", "b Service Unavailable", "c Service Unavailable", "a OK", "b OK", "c OK", "a OK"}, true},
		"redirects":     {[]int{302}, []string{"a Found", "b OK", "c OK", "a OK", "a OK"}, false},
		"is not let":    {[]int{401}, []string{"a Unauthorized", "b OK", "c OK", "a OK", "a OK"}, false},
		"refuses":       {[]int{400}, []string{"a Bad Request", "b OK", "a OK", "c OK"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &receiver{statuses: tt.statuses}
			srv := httptest.NewServer(r)
			defer srv.Close()
			now := sent
			hook := &Webhook{URL: srv.URL, Secret: []byte("a secret of a test"), Client: NewClient(), Now: func() time.Time { return now }}
			store := pendingOf("a", "b", "a", "c")
			tell := hook.Telling(store)[work.Tell].Do
			held := &work.Held{Log: slog.New(slog.DiscardHandler)}
			if _, _, err := tell(t.Context(), held); (err != nil) != tt.fails {
				t.Errorf("the first run: %v", err)
			}
			now = now.Add(time.Minute)
			if _, _, err := tell(t.Context(), held); err != nil {
				t.Errorf("the second run: %v", err)
			}
			if diff := cmp.Diff(tt.want, r.got); diff != "" || len(store.events) != 0 {
				t.Errorf("%d events are left (-want +got):\n%s", len(store.events), diff)
			}
			for i, header := range r.headers {
				at, _, _ := strings.Cut(strings.TrimPrefix(header, "t="), ",")
				mac := hmac.New(sha256.New, hook.Secret)
				mac.Write([]byte(at + "."))
				mac.Write(r.bodies[i])
				if want := "t=" + at + ",v1=" + hex.EncodeToString(mac.Sum(nil)); header != want || at != "1767323045" && at != "1767323105" {
					t.Errorf("the signature is %s, want %s", header, want)
				}
			}
		})
	}
}

// pendingOf returns a store with a completed snapshot for each of the ids.
func pendingOf(ids ...string) *pending {
	p := &pending{}
	for i, id := range ids {
		p.events = append(p.events, Event{ID: int64(i + 1), Kind: SnapshotCompleted, Account: "111122223333", Region: "us-east-1", Resource: id, At: sent})
	}
	return p
}

// TestAReceiverThatStalls: events that it does not answer keep no others, and the unit is
// kept under its lease all the time, whatever it takes.
func TestAReceiverThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards what follows
		stalls, got := true, []string{}
		dialled := make(chan net.Conn)
		srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			stuck := stalls && bytes.Contains(body, []byte("snapshot/stuck"))
			got = append(got, string(regexp.MustCompile("snapshot/([a-z]*)").FindSubmatch(body)[1]))
			mu.Unlock()
			if stuck {
				<-r.Context().Done()
			}
		})}
		go func() { _ = srv.Serve(pipes(dialled)) }()
		client := NewClient()
		client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			dialled <- there
			return here, nil
		}}
		hook := &Webhook{URL: "http://receiver.test/", Secret: []byte("a secret of a test"), Client: client, Now: time.Now}
		events, units := pendingOf("stuck", "x", "stuck", "y"), &oneUnit{kept: map[string]int{}}
		r := &work.Runner{
			Store: units, Handlers: hook.Telling(events), Lanes: [][]work.Kind{{work.Tell}}, Bus: &wake.Bus{},
			Log: slog.New(slog.DiscardHandler), Now: time.Now, Poll: time.Second,
		}
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() { stopped <- r.Run(ctx) }()
		time.Sleep(5 * time.Minute)
		mu.Lock()
		if first := slices.Clone(got[:min(3, len(got))]); !slices.Equal(first, []string{"stuck", "x", "y"}) || len(got) < 6 || len(got) > 40 {
			t.Errorf("it was sent %q", got)
		}
		stalls, got = false, nil
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		close(dialled)
		_ = srv.Close()
		if len(events.events) != 0 || !slices.Equal(got, []string{"stuck", "stuck"}) {
			t.Errorf("then it was sent %q, and %d events are left", got, len(events.events))
		}
		if units.kept["late"] > 0 || units.kept["in time"] < 10 {
			t.Errorf("the lease was renewed %v", units.kept)
		}
	})
}

// TestEventsThatAreNeverTaken keep no others from being told, however many they are: neither
// new ones, nor one that was not taken once.
func TestEventsThatAreNeverTaken(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			once := false
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				switch {
				case bytes.Contains(body, []byte("snapshot/bad")):
					w.WriteHeader(status)
				case bytes.Contains(body, []byte("snapshot/once")) && !once:
					once = true
					w.WriteHeader(status)
				}
			}))
			defer srv.Close()
			now := sent
			hook := &Webhook{URL: srv.URL, Secret: []byte("a secret of a test"), Client: NewClient(), Now: func() time.Time { return now }}
			const bad = 30
			var ids []string
			for i := range bad {
				ids = append(ids, fmt.Sprint("bad", i))
			}
			store := pendingOf(append(ids, "once", "alert", "bad0", "once")...)
			tell := hook.Telling(store)[work.Tell].Do
			for failed := 0; now.Before(sent.Add(time.Hour)); { // as the runner puts the unit off
				if _, _, err := tell(t.Context(), &work.Held{Log: slog.New(slog.DiscardHandler)}); err != nil {
					failed++
					now = now.Add(time.Duration(min(failed*failed, 60)) * time.Second)
					continue
				}
				failed, now = 0, now.Add(tellEvery)
			}
			for _, e := range store.events {
				if !strings.HasPrefix(e.Resource, "bad") {
					t.Errorf("event %d, of %s, is not told within an hour", e.ID, e.Resource)
				}
			}
			if len(store.events) < bad+1 {
				t.Errorf("%d events are left, of which %d are never taken", len(store.events), bad+1)
			}
		})
	}
}

// pipes is a listener whose connections somebody dials.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (pipes) Close() error   { return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// oneUnit is a work.Store with the unit of a duty, which notes whether its lease is renewed
// in time.
type oneUnit struct {
	mu   sync.Mutex // guards what follows
	due  time.Time
	held bool
	last time.Time // that it was claimed or renewed
	kept map[string]int
}

func (u *oneUnit) Claim(_ context.Context, c work.Claimer, now time.Time) (work.Lease, bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held || now.Before(u.due) {
		return work.Lease{}, false, nil
	}
	u.held, u.last = true, now
	return work.Lease{Unit: work.Unit{ID: 1, Kind: work.Tell}, Owner: c.Owner, Attempt: 1, Claims: 1, Until: now.Add(work.LeaseFor)}, true, nil
}

func (u *oneUnit) Renew(_ context.Context, l work.Lease, now time.Time, _ work.Progress) (work.Lease, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	how := "in time"
	if now.Sub(u.last) >= work.LeaseFor {
		how = "late"
	}
	u.kept[how]++
	u.last, l.Until = now, now.Add(work.LeaseFor)
	return l, nil
}

func (u *oneUnit) handBack(at time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held, u.due = false, at
	return nil
}

func (u *oneUnit) Release(_ context.Context, _ work.Lease, _ work.Kind, at time.Time) error {
	return u.handBack(at)
}
func (u *oneUnit) Retry(_ context.Context, _ work.Lease, _ string, at time.Time) error {
	return u.handBack(at)
}
func (u *oneUnit) Wait(_ context.Context, _ work.Lease, _ string, now time.Time, pause time.Duration) error {
	return u.handBack(now.Add(pause))
}

// The URL of a receiver may be its password: no error has it.
func TestWebhookErrorsHaveNoURL(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	hook := &Webhook{URL: srv.URL + "/hidden-token", Secret: []byte("a secret of a test"), Client: NewClient(), Now: func() time.Time { return sent }}
	err := hook.send(t.Context(), Event{ID: 1, Kind: SnapshotCompleted})
	if err == nil || strings.Contains(err.Error(), "hidden-token") {
		t.Errorf("got %v", err)
	}
}

func TestEnvelope(t *testing.T) {
	hook := &Webhook{Secret: []byte("a secret of a test"), Home: awsid.Home{Account: "9", Region: "eu-north-1"}}
	tests := map[string]struct {
		event Event
		want  string
	}{
		"a copy": {
			Event{ID: 1, Kind: SnapshotCompleted, Account: "1", Region: "us-east-1", Resource: "snap-2", Detail: Detail{CopyOf: "snap-1", CopyRegion: "eu-west-1", Started: sent.Add(-time.Minute)}, At: sent},
			`"EBS Snapshot Notification","source":"aws.ec2","account":"1","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":["arn:aws:ec2::us-east-1:snapshot/snap-2"],"detail":{"event":"copySnapshot","result":"succeeded","cause":"","request-id":"","snapshot_id":"arn:aws:ec2::us-east-1:snapshot/snap-2","source":"arn:aws:ec2::eu-west-1:snapshot/snap-1","startTime":"2026-01-02T03:03:05Z","endTime":"2026-01-02T03:04:05Z"}}`,
		},
		"a snapshot of a volume": {
			Event{ID: 1, Kind: SnapshotFailed, Account: "1", Region: "us-east-1", Resource: "snap-2", Detail: Detail{Volume: "vol-1", Message: "no key"}, At: sent},
			`"EBS Snapshot Notification","source":"aws.ec2","account":"1","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":["arn:aws:ec2::us-east-1:snapshot/snap-2"],"detail":{"event":"createSnapshot","result":"failed","cause":"no key","request-id":"","snapshot_id":"arn:aws:ec2::us-east-1:snapshot/snap-2","source":"arn:aws:ec2::us-east-1:volume/vol-1","endTime":"2026-01-02T03:04:05Z"}}`,
		},
		"shared": {
			Event{ID: 1, Kind: SnapshotShared, Account: "1", Region: "cn-north-1", Resource: "snap-2", Detail: Detail{Added: []string{"2"}}, At: sent},
			`"EBS Snapshot Notification","source":"aws.ec2","account":"1","time":"2026-01-02T03:04:05Z","region":"cn-north-1","resources":["arn:aws-cn:ec2::cn-north-1:snapshot/snap-2"],"detail":{"event":"shareSnapshot","result":"succeeded","cause":"","request-id":"","snapshot_id":"arn:aws-cn:ec2::cn-north-1:snapshot/snap-2","source":"1","endTime":"2026-01-02T03:04:05Z","added":["2"]}}`,
		},
		"shared no more": {
			Event{ID: 1, Kind: SnapshotUnshared, Account: "1", Region: "us-east-1", Resource: "snap-2", Detail: Detail{Removed: []string{"2"}}, At: sent},
			`"Snapshot Notification","source":"diskport","account":"1","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":["arn:aws:ec2::us-east-1:snapshot/snap-2"],"detail":{"event":"unshareSnapshot","result":"succeeded","cause":"","request-id":"","snapshot_id":"arn:aws:ec2::us-east-1:snapshot/snap-2","endTime":"2026-01-02T03:04:05Z","removed":["2"]}}`,
		},
		"a damaged snapshot": {
			Event{ID: 1, Kind: DamageFound, Account: "1", Region: "us-east-1", Resource: "snap-2", Detail: Detail{Snapshot: "snap-2", Part: "data", Message: "it can't be read", Advice: "mend it"}, At: sent},
			`"Store Notification","source":"diskport","account":"1","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":["arn:aws:ec2::us-east-1:snapshot/snap-2"],"detail":{"event":"damageFound","result":"failed","cause":"it can't be read","request-id":"","snapshot_id":"arn:aws:ec2::us-east-1:snapshot/snap-2","endTime":"2026-01-02T03:04:05Z","part":"data","advice":"mend it"}}`,
		},
		"a disk that is nearly full": {
			Event{ID: 1, Kind: DiskNearlyFull, Resource: "/srv", Detail: Detail{Free: 4096}, At: sent},
			`"Store Notification","source":"diskport","account":"9","time":"2026-01-02T03:04:05Z","region":"eu-north-1","resources":[],"detail":{"event":"diskNearlyFull","result":"failed","cause":"","request-id":"","endTime":"2026-01-02T03:04:05Z","path":"/srv","free_bytes":4096}}`,
		},
		"an import that failed": {
			Event{ID: 1, Kind: ImportFailed, Account: "1", Region: "us-east-1", Resource: "import-snap-1", Detail: Detail{Reason: "internal", Message: "ServerError"}, At: sent},
			`"Import Task Notification","source":"diskport","account":"1","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":["arn:aws:ec2:us-east-1:1:import-snapshot-task/import-snap-1"],"detail":{"event":"importSnapshot","result":"failed","cause":"ServerError","request-id":"","endTime":"2026-01-02T03:04:05Z","import_task_id":"import-snap-1","reason":"internal"}}`,
		},
		"an image": {
			Event{ID: 1, Kind: ImportCompleted, Account: "1", Region: "us-east-1", Resource: "import-ami-0123456789abcdef0", Detail: Detail{Image: "ami-1"}, At: sent},
			`"Import Task Notification","source":"diskport","account":"1","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":["arn:aws:ec2:us-east-1:1:import-image-task/import-ami-0123456789abcdef0"],"detail":{"event":"importImage","result":"succeeded","cause":"","request-id":"","endTime":"2026-01-02T03:04:05Z","import_task_id":"import-ami-0123456789abcdef0","image_id":"ami-1"}}`,
		},
	}
	ids := map[string]bool{}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := hook.envelope(tt.event)
			text, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(`{"version":"0","id":"`+e.ID+`","detail-type":`+tt.want, string(text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(e.ID) != 36 {
				t.Errorf("the id is %q", e.ID)
			}
			ids[e.ID] = true
		})
	}
	if len(ids) != 1 {
		t.Errorf("one event has the ids %v", ids)
	}
	if hook.envelope(Event{ID: 2}).ID == hook.envelope(Event{ID: 1}).ID {
		t.Error("two events have one id")
	}
	if hook.envelope(Event{ID: 1, At: sent}).ID == hook.envelope(Event{ID: 1, At: sent.Add(time.Microsecond)}).ID {
		t.Error("an event has the id of one of the same number, which a database that was restored has forgotten")
	}
	for _, kind := range []Kind{ImportCompleted, ImportFailed, ImportCancelled, SnapshotCompleted, SnapshotFailed, SnapshotShared, SnapshotUnshared, SnapshotDeleted, DamageFound, DiskNearlyFull, DiskHasRoom} {
		if shapes[kind].event == "" {
			t.Errorf("%s has no words", kind)
		}
	}
}
