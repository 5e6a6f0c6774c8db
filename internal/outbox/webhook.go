package outbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/work"
)

// Webhook tells a receiver of events: each by one POST of JSON in the shape of an event of
// Amazon EventBridge, those of a resource in the order in which they happened. The next of
// a resource is not sent before the receiver has taken the one before, so one that is
// repeated, because the answer was lost, is repeated before anything newer of the resource
// comes. The others do not wait for it. Its fields are set before.
type Webhook struct {
	URL     string     // http or https
	Secret  []byte     // signs what is sent; 16 bytes at least
	Home    awsid.Home // of events that are about the service itself
	Client  *http.Client
	Now     func() time.Time
	Metrics *Metrics // nil: nothing is counted
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
	t := &teller{Webhook: w, store: s, later: map[string]pause{}}
	tell := func(ctx context.Context, h *work.Held) (next work.Lease, ok bool, err error) {
		h.Report(t)
		return next, false, t.all(ctx, h.Log)
	}
	return map[work.Kind]work.Handler{work.Tell: {Do: tell, Every: tellEvery}}
}

// teller tells the events of a store. One runs at a time.
type teller struct {
	*Webhook
	store Store
	later map[string]pause // resources whose oldest event was not taken
	told  atomic.Int64     // events, or refused
}

// pause is until when nothing of a resource is sent.
type pause struct {
	event int64 // that was not taken
	tries int
	until time.Time
}

const (
	// page is how many events are read at a time.
	page = 64
	// maxUntaken is how many resources' events the receiver may fail to take, one after
	// the other, until nothing more is sent to it for some time; maxDisliked, if it has answered
	// and is not overloaded, so that it may be these events that it does not like.
	maxUntaken  = 3
	maxDisliked = 64
	// maxTries bounds a pause, whose seconds are the square of the tries: to a minute.
	maxTries = 8
)

// Progress implements work.Reporter: a process that dies while it tells has got further.
func (t *teller) Progress() work.Progress { return work.Progress{Done: t.told.Load()} }

// Heard implements work.Reporter.
func (*teller) Heard() {}

// all tells what is pending. It fails if the receiver takes nothing. What was never sent comes
// first, then what was not taken, the longest ago first: so no number of events that the
// receiver does not take keeps others from being sent.
func (t *teller) all(ctx context.Context, log *slog.Logger) error {
	before, row := t.told.Load(), &misses{}
	waiting := map[string]bool{}
	for again := true; again; {
		clear(waiting)
		err := t.fresh(ctx, waiting, row, log)
		if err == nil {
			again, err = t.again(ctx, row, log)
		}
		if err != nil {
			return err
		}
	}
	maps.DeleteFunc(t.later, func(resource string, _ pause) bool { return !waiting[resource] }) // forgotten ones
	if row.first != nil && t.told.Load() == before {
		return row.first
	}
	return nil
}

// fresh tells what is pending and was never sent, but for the events in waiting: those of
// resources of which an older one was not taken.
func (t *teller) fresh(ctx context.Context, waiting map[string]bool, row *misses, log *slog.Logger) error {
	for after := int64(0); ; {
		events, err := t.store.Pending(ctx, after, page)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			after = e.ID
			if _, late := t.later[e.Resource]; late || waiting[e.Resource] {
				waiting[e.Resource] = true
				continue
			}
			taken, err := t.try(ctx, e, row, log)
			if err != nil {
				return err
			}
			waiting[e.Resource] = !taken
		}
	}
}

// again sends once more what was not taken, if its pause is over, and reports whether the next
// events of a resource may be sent.
func (t *teller) again(ctx context.Context, row *misses, log *slog.Logger) (more bool, err error) {
	for _, resource := range slices.SortedFunc(maps.Keys(t.later), func(a, b string) int {
		return cmp.Or(t.later[a].until.Compare(t.later[b].until), cmp.Compare(t.later[a].event, t.later[b].event))
	}) {
		p := t.later[resource]
		if t.Now().Before(p.until) {
			break
		}
		events, err := t.store.Pending(ctx, p.event-1, 1)
		if err != nil {
			return false, err
		}
		if len(events) == 0 || events[0].ID != p.event { // it was forgotten
			delete(t.later, resource)
			more = true
			continue
		}
		taken, err := t.try(ctx, events[0], row, log)
		if err != nil {
			return false, err
		}
		more = more || taken
	}
	return more, nil
}

// misses are events that were not taken, one after the other.
type misses struct {
	first    error // nil: there are none
	untaken  int
	disliked int // besides: the receiver has answered
}

// add adds one, and reports whether there are too many.
func (m *misses) add(err error) bool {
	if m.first == nil {
		m.first = err
	}
	if a, ok := errors.AsType[*answeredError](err); ok && !a.overloaded() {
		m.disliked++
	} else {
		m.untaken++
	}
	return m.untaken >= maxUntaken || m.untaken+m.disliked >= maxDisliked
}

// try is tell, but fails only if nothing more is to be sent now.
func (t *teller) try(ctx context.Context, e Event, row *misses, log *slog.Logger) (taken bool, err error) {
	taken, err = t.tell(ctx, e, log)
	switch {
	case err == nil:
		*row = misses{}
		return true, nil
	case taken || ctx.Err() != nil:
		return taken, err
	case row.add(err):
		return false, row.first
	}
	return false, nil
}

// tell sends an event. taken is false if it is to be sent again later.
func (t *teller) tell(ctx context.Context, e Event, log *slog.Logger) (taken bool, err error) {
	how := told
	err = t.send(ctx, e)
	if _, ok := errors.AsType[*RefusedError](err); ok {
		how = refused
		log.Error("the receiver of events refuses one: it is not told", "event", e.ID, "of", string(e.Kind), "resource", e.Resource, logkey.Error, err)
	} else if err != nil {
		if ctx.Err() != nil {
			return false, err
		}
		p := t.later[e.Resource]
		p.event, p.tries = e.ID, min(p.tries+1, maxTries)
		p.until = t.Now().Add(time.Duration(p.tries*p.tries) * time.Second)
		t.later[e.Resource] = p
		t.Metrics.sent(untaken)
		log.Warn("an event is not told yet", "event", e.ID, "of", string(e.Kind), "resource", e.Resource, "until", p.until, logkey.Error, err)
		return false, err
	}
	delete(t.later, e.Resource)
	t.Metrics.sent(how)
	t.told.Add(1)
	return true, t.store.Told(ctx, e.ID)
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
	return &answeredError{e.ID, resp.StatusCode, resp.Status}
}

// answeredError reports a receiver that has answered, and not taken an event.
type answeredError struct {
	event int64
	code  int
	text  string
}

func (e *answeredError) Error() string {
	return fmt.Sprintf("outbox: telling event %d: the receiver answered %s", e.event, e.text)
}

// overloaded reports whether the receiver would say the same of other events.
func (e *answeredError) overloaded() bool {
	return slices.Contains([]int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, e.code)
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

// detail is that of an "EBS Snapshot Notification"; ours, of what AWS has no events for,
// have a few more fields.
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
	Part       string   `json:"part,omitempty"`
	Path       string   `json:"path,omitempty"` // in the store, or of a folder
	Advice     string   `json:"advice,omitempty"`
	FreeBytes  int64    `json:"free_bytes,omitempty"`
}

// shape is how a kind of event looks outside.
type shape struct{ detailType, source, event, result string }

const (
	ofEBS    = "EBS Snapshot Notification"
	amazon   = "aws.ec2"
	ofTask   = "Import Task Notification"
	ofOurs   = "Snapshot Notification" // which AWS has no events for
	ofStore  = "Store Notification"
	diskport = "diskport"
)

var shapes = map[Kind]shape{
	ImportCompleted:   {ofTask, diskport, "importSnapshot", "succeeded"},
	ImportFailed:      {ofTask, diskport, "importSnapshot", "failed"},
	ImportCancelled:   {ofTask, diskport, "importSnapshot", "cancelled"},
	SnapshotCompleted: {ofEBS, amazon, "createSnapshot", "succeeded"},
	SnapshotFailed:    {ofEBS, amazon, "createSnapshot", "failed"},
	SnapshotShared:    {ofEBS, amazon, "shareSnapshot", "succeeded"},
	SnapshotUnshared:  {ofOurs, diskport, "unshareSnapshot", "succeeded"},
	SnapshotDeleted:   {ofOurs, diskport, "deleteSnapshot", "succeeded"},
	DamageFound:       {ofStore, diskport, "damageFound", "failed"},
	DiskNearlyFull:    {ofStore, diskport, "diskNearlyFull", "failed"},
	DiskHasRoom:       {ofStore, diskport, "diskHasRoom", "succeeded"},
}

func (w *Webhook) envelope(e Event) envelope {
	// A database that was restored gives numbers again that other events had: those were at
	// another time.
	id := w.mac("id "+strconv.FormatInt(e.ID, 10)+" at "+strconv.FormatInt(e.At.UnixMicro(), 10), nil)
	at := e.At.UTC().Format(time.RFC3339)
	look := shapes[e.Kind]
	home := awsid.Home{Account: cmp.Or(e.Account, w.Home.Account), Region: cmp.Or(e.Region, w.Home.Region)}
	out := envelope{
		Version: "0", ID: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		DetailType: look.detailType, Source: look.source, Account: home.Account, Time: at, Region: home.Region, Resources: []string{},
		Detail: detail{
			Event: look.event, Result: look.result, Cause: e.Detail.Message, EndTime: at,
			Reason: e.Detail.Reason, Added: e.Detail.Added, Removed: e.Detail.Removed,
			Part: e.Detail.Part, Advice: e.Detail.Advice, FreeBytes: e.Detail.Free,
		},
	}
	snapshot := e.Detail.Snapshot
	switch {
	case look.detailType == ofTask:
		out.Detail.ImportTask, out.Detail.Image = e.Resource, e.Detail.Image
		arn := awsid.TaskARN(home, e.Resource)
		if awsid.IsImageTask(e.Resource) {
			out.Detail.Event = "importImage"
			arn = awsid.ImageTaskARN(home, e.Resource)
		}
		out.Resources = append(out.Resources, arn)
	case look.detailType == ofStore && snapshot == "":
		out.Detail.Path = e.Resource
	case look.detailType != ofStore:
		snapshot = e.Resource
	}
	if snapshot != "" {
		out.Detail.SnapshotID = snapshotARN(home.Region, snapshot)
		out.Resources = append(out.Resources, out.Detail.SnapshotID)
	}
	switch {
	case e.Kind == SnapshotShared:
		out.Detail.Source = home.Account // whose it is, as AWS has it
	case e.Detail.CopyOf != "":
		out.Detail.Source = snapshotARN(e.Detail.CopyRegion, e.Detail.CopyOf)
		out.Detail.Event = "copySnapshot"
	case e.Detail.Volume != "":
		out.Detail.Source = "arn:" + awsid.Partition(home.Region) + ":ec2::" + home.Region + ":volume/" + e.Detail.Volume
	}
	if !e.Detail.Started.IsZero() {
		out.Detail.StartTime = e.Detail.Started.UTC().Format(time.RFC3339)
	}
	return out
}

// snapshotARN returns the ARN of a snapshot as AWS's events have it: the region in the
// place of the account.
func snapshotARN(region, id string) string {
	return "arn:" + awsid.Partition(region) + ":ec2::" + region + ":snapshot/" + id
}
