package outbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/work"
)

// Webhook tells a receiver of events: each by one POST of JSON in the shape of an event of
// Amazon EventBridge, in the order in which they happened. The next is not sent before the
// receiver has taken the one before, so one that is repeated, because the answer was lost,
// is repeated before anything newer comes.
type Webhook struct {
	URL    string // http or https
	Secret []byte // signs what is sent; 16 bytes at least
	Client *http.Client
	Now    func() time.Time
}

// SignatureHeader has the time of sending, in Unix seconds, and the hexadecimal
// HMAC-SHA-256 of that time, a full stop and the body: "t=1796012165,v1=5257a8…". A
// receiver computes the same, and refuses what is old.
const SignatureHeader = "Diskport-Signature"

// webhookTimeout bounds one POST.
const webhookTimeout = 10 * time.Second

// NewClient returns a client that asks nobody but the receiver: it follows no redirects.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:       webhookTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Telling returns what a runner does to tell events. A receiver that can't be reached, or
// answers with a status that is none of its last words, is asked again, at growing
// intervals, for as long as events are kept.
func (w *Webhook) Telling(s Store) map[work.Kind]work.Handler {
	const some = 64
	tell := func(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
		for {
			events, err := s.Pending(ctx, some)
			if err != nil || len(events) == 0 {
				return next, false, err
			}
			for _, e := range events {
				err := w.send(ctx, e)
				if refused := (*RefusedError)(nil); errors.As(err, &refused) {
					h.Log.Error("the receiver of events refuses one: it is not told", "event", e.ID, "of", string(e.Kind), "resource", e.Resource, "status", refused.Status)
				} else if err != nil {
					return next, false, err
				}
				if err := s.Told(ctx, e.ID); err != nil {
					return next, false, err
				}
			}
		}
	}
	return map[work.Kind]work.Handler{work.Tell: {Do: tell, Every: tellEvery}}
}

// tellEvery is how soon an event is told.
const tellEvery = 2 * time.Second

// RefusedError reports a receiver that will never take an event.
type RefusedError struct{ Status int }

func (e *RefusedError) Error() string { return fmt.Sprintf("the receiver answered %d", e.Status) }

// send tells one event.
func (w *Webhook) send(ctx context.Context, e Event) error {
	body, err := json.Marshal(w.envelope(e))
	if err != nil {
		return fmt.Errorf("outbox: encoding event %d: %w", e.ID, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "diskport")
	req.Header.Set(SignatureHeader, w.signature(body))
	resp, err := w.Client.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, which may hold a token
	}
	if err != nil {
		return fmt.Errorf("outbox: telling event %d: %w", e.ID, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	switch s := resp.StatusCode; {
	case s >= 200 && s < 300:
		return nil
	case s == http.StatusBadRequest, s == http.StatusGone, s == http.StatusRequestEntityTooLarge, s == http.StatusUnsupportedMediaType, s == http.StatusUnprocessableEntity:
		return &RefusedError{s}
	}
	return fmt.Errorf("outbox: telling event %d: the receiver answered %s", e.ID, resp.Status)
}

func (w *Webhook) signature(body []byte) string {
	at := strconv.FormatInt(w.Now().Unix(), 10)
	return "t=" + at + ",v1=" + hex.EncodeToString(w.mac(at+".", body))
}

func (w *Webhook) mac(prefix string, body []byte) []byte {
	m := hmac.New(sha256.New, w.Secret)
	m.Write([]byte(prefix))
	m.Write(body)
	return m.Sum(nil)
}

// envelope is an event of EventBridge.
type envelope struct {
	Version    string   `json:"version"`
	ID         string   `json:"id"` // the same whenever the event is sent
	DetailType string   `json:"detail-type"`
	Source     string   `json:"source"`
	Account    string   `json:"account"`
	Time       string   `json:"time"`
	Region     string   `json:"region"`
	Resources  []string `json:"resources"`
	Detail     detail   `json:"detail"`
}

// detail is that of an "EBS Snapshot Notification"; ours of imports, of which AWS has
// none, has a few more fields.
type detail struct {
	Event      string `json:"event"`
	Result     string `json:"result"`
	Cause      string `json:"cause"`
	RequestID  string `json:"request-id"`
	SnapshotID string `json:"snapshot_id,omitempty"` // ARN
	Source     string `json:"source,omitempty"`      // ARN
	StartTime  string `json:"startTime,omitempty"`
	EndTime    string `json:"endTime,omitempty"`

	ImportTask string   `json:"import_task_id,omitempty"`
	Image      string   `json:"image_id,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Added      []string `json:"added,omitempty"`
	Removed    []string `json:"removed,omitempty"`
}

// results are the events and results of kinds.
var results = map[Kind]struct{ event, result string }{
	ImportCompleted:   {"import", "succeeded"},
	ImportFailed:      {"import", "failed"},
	ImportCancelled:   {"import", "cancelled"},
	SnapshotCompleted: {"createSnapshot", "succeeded"},
	SnapshotFailed:    {"createSnapshot", "failed"},
	SnapshotShared:    {"shareSnapshot", "succeeded"},
	SnapshotDeleted:   {"deleteSnapshot", "succeeded"},
}

func (w *Webhook) envelope(e Event) envelope {
	id := w.mac("id "+strconv.FormatInt(e.ID, 10), nil)
	at := e.At.UTC().Format(time.RFC3339)
	r := results[e.Kind]
	out := envelope{
		Version: "0", ID: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		DetailType: "EBS Snapshot Notification", Source: "aws.ec2", Account: e.Account, Time: at, Region: e.Region,
		Detail: detail{
			Event: r.event, Result: r.result, Cause: e.Detail.Message, EndTime: at,
			Reason: e.Detail.Reason, Added: e.Detail.Added, Removed: e.Detail.Removed,
		},
	}
	snapshot := e.Resource
	if r.event == "import" {
		out.DetailType, out.Source = "Import Task Notification", "diskport"
		out.Detail.Event, out.Detail.ImportTask, out.Detail.Image = "importSnapshot", e.Resource, e.Detail.Image
		home := awsid.Home{Account: e.Account, Region: e.Region}
		out.Resources = append(out.Resources, awsid.TaskARN(home, e.Resource))
		if awsid.IsImageTask(e.Resource) {
			out.Detail.Event = "importImage"
			out.Resources[0] = awsid.ImageTaskARN(home, e.Resource)
		}
		snapshot = e.Detail.Snapshot
	}
	if snapshot != "" {
		out.Detail.SnapshotID = snapshotARN(e.Region, snapshot)
		out.Resources = append(out.Resources, out.Detail.SnapshotID)
	}
	if e.Detail.Source != "" {
		out.Detail.Source = snapshotARN(e.Region, e.Detail.Source)
		out.Detail.Event = strings.Replace(out.Detail.Event, "createSnapshot", "copySnapshot", 1)
	}
	return out
}

// snapshotARN returns the ARN of a snapshot as AWS's events have it: the region in the
// place of the account.
func snapshotARN(region, id string) string {
	return "arn:" + awsid.Partition(region) + ":ec2::" + region + ":snapshot/" + id
}
