package outbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

func (p *pending) Pending(_ context.Context, limit int) ([]Event, error) {
	return slices.Clone(p.events[:min(limit, len(p.events))]), nil
}

func (p *pending) Told(_ context.Context, ids ...int64) error {
	p.events = slices.DeleteFunc(p.events, func(e Event) bool { return slices.Contains(ids, e.ID) })
	return nil
}

func (p *pending) Forget(context.Context, time.Time) (int, error) { return 0, nil }

func TestWebhook(t *testing.T) {
	tests := map[string]struct {
		statuses []int
		want     []string // of two runs
		fails    bool     // the first run
	}{
		"taken":      {nil, []string{"a OK", "b OK", "c OK"}, false},
		"is down":    {[]int{200, 503, 200}, []string{"a OK", "b Service Unavailable", "b OK", "c OK"}, true},
		"redirects":  {[]int{302}, []string{"a Found", "a OK", "b OK", "c OK"}, true},
		"is not let": {[]int{401}, []string{"a Unauthorized", "a OK", "b OK", "c OK"}, true},
		"refuses":    {[]int{400}, []string{"a Bad Request", "b OK", "c OK"}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := &receiver{statuses: tt.statuses}
			srv := httptest.NewServer(r)
			defer srv.Close()
			hook := &Webhook{URL: srv.URL, Secret: []byte("a secret of a test"), Client: NewClient(), Now: func() time.Time { return sent }}
			store := &pending{}
			for i, id := range []string{"a", "b", "c"} {
				store.events = append(store.events, Event{ID: int64(i + 1), Kind: SnapshotCompleted, Account: "111122223333", Region: "us-east-1", Resource: id, At: sent})
			}
			tell := hook.Telling(store)[work.Tell].Do
			held := &work.Held{Log: slog.New(slog.DiscardHandler)}
			if _, _, err := tell(t.Context(), held); (err != nil) != tt.fails {
				t.Errorf("the first run: %v", err)
			}
			if _, _, err := tell(t.Context(), held); err != nil {
				t.Errorf("the second run: %v", err)
			}
			if diff := cmp.Diff(tt.want, r.got); diff != "" || len(store.events) != 0 {
				t.Errorf("%d events are left (-want +got):\n%s", len(store.events), diff)
			}
			for i, header := range r.headers {
				mac := hmac.New(sha256.New, hook.Secret)
				mac.Write([]byte("1767323045."))
				mac.Write(r.bodies[i])
				if want := "t=1767323045,v1=" + hex.EncodeToString(mac.Sum(nil)); header != want {
					t.Errorf("the signature is %s, want %s", header, want)
				}
			}
		})
	}
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
	hook := &Webhook{Secret: []byte("a secret of a test")}
	tests := map[string]struct {
		event Event
		want  string
	}{
		"a copy": {
			Event{ID: 1, Kind: SnapshotCompleted, Account: "1", Region: "us-east-1", Resource: "snap-2", Detail: Detail{Source: "snap-1"}, At: sent},
			`"EBS Snapshot Notification","source":"aws.ec2","account":"1","time":"2026-01-02T03:04:05Z","region":"us-east-1","resources":["arn:aws:ec2::us-east-1:snapshot/snap-2"],"detail":{"event":"copySnapshot","result":"succeeded","cause":"","request-id":"","snapshot_id":"arn:aws:ec2::us-east-1:snapshot/snap-2","source":"arn:aws:ec2::us-east-1:snapshot/snap-1","endTime":"2026-01-02T03:04:05Z"}}`,
		},
		"shared": {
			Event{ID: 1, Kind: SnapshotShared, Account: "1", Region: "cn-north-1", Resource: "snap-2", Detail: Detail{Added: []string{"2"}}, At: sent},
			`"EBS Snapshot Notification","source":"aws.ec2","account":"1","time":"2026-01-02T03:04:05Z","region":"cn-north-1","resources":["arn:aws-cn:ec2::cn-north-1:snapshot/snap-2"],"detail":{"event":"shareSnapshot","result":"succeeded","cause":"","request-id":"","snapshot_id":"arn:aws-cn:ec2::cn-north-1:snapshot/snap-2","endTime":"2026-01-02T03:04:05Z","added":["2"]}}`,
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
	for _, kind := range []Kind{ImportCompleted, ImportFailed, ImportCancelled, SnapshotCompleted, SnapshotFailed, SnapshotShared, SnapshotDeleted} {
		if results[kind].event == "" {
			t.Errorf("%s has no words", kind)
		}
	}
}
