package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/wake"
)

// heartbeat is how often a stream without news sends a sign of life, so that
// proxies keep it open.
const heartbeat = 10 * time.Second

// events is a stream of server-sent events.
type events struct{ w http.ResponseWriter }

func startEvents(w http.ResponseWriter) events {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return events{w}
}

// send writes one event and flushes it.
func (s events) send(name string, data []byte) error {
	if _, err := fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", name, data); err != nil {
		return err
	}
	return s.flush()
}

func (s events) comment() error {
	if _, err := fmt.Fprint(s.w, ":\n\n"); err != nil {
		return err
	}
	return s.flush()
}

func (s events) flush() error { return http.NewResponseController(s.w).Flush() }

// teller returns a function that sends how far a long operation is, now and then and
// at its end. It must not be called concurrently.
func (e *Edge) teller(s events) func(done, total int64) {
	var told time.Time
	return func(done, total int64) {
		now := e.Now()
		if now.Sub(told) < e.Poll && done < total {
			return
		}
		told = now
		// If the client is gone, the request's context is cancelled.
		_ = s.send("progress", mustMarshal(struct {
			Done  int64 `json:"done"`
			Total int64 `json:"total"`
		}{done, total}))
	}
}

// watchTask sends the task at once, whenever it changes, and a last time when
// it has ended; then the stream ends.
func (e *Edge) watchTask(r *request) error {
	return e.watch(r, func() (key, data []byte, ended bool, err error) {
		t, err := e.Tasks.Task(r.Context(), r.call.Home(), r.PathValue("id"))
		key, data = e.taskEvent(t)
		return key, data, over(t.State), err
	})
}

// watchImageTask is watchTask for the import of an image.
func (e *Edge) watchImageTask(r *request) error {
	return e.watch(r, func() (key, data []byte, ended bool, err error) {
		t, err := e.Tasks.ImageTask(r.Context(), r.call.Home(), r.PathValue("id"))
		key, data = e.imageTaskEvent(t)
		return key, data, over(t.State), err
	})
}

func over(s importtask.State) bool { return s == importtask.Completed || s == importtask.Deleted }

// calmPolls is how much longer than Poll a stream waits at most while its task does not
// change. Hundreds of tasks may be watched that wait for their turn: to look at each of
// them all the time would take longer than to do them. What a task becomes, and each
// heartbeat of its units, wakes the stream on whatever node it is; Poll is for what the
// units of this node have done since.
const calmPolls = 100

// watch sends what get returns as data, at once and whenever the key changes, until the
// task has ended.
func (e *Edge) watch(r *request, get func() (key, data []byte, ended bool, err error)) error {
	topic := wake.Task(r.PathValue("id"))
	woken, leave := e.Bus.Wait(topic) // before looking, so that no wake is missed
	defer func() { leave() }()
	key, data, ended, err := get()
	if err != nil {
		return err
	}
	stream := startEvents(r.w)
	var last []byte
	pause, sent := e.Poll, e.Now()
	for {
		pause = min(2*pause, calmPolls*e.Poll)
		if now := e.Now(); now.Sub(sent) > heartbeat {
			sent = now
			if stream.comment() != nil {
				return nil // the client is gone
			}
		}
		if !bytes.Equal(key, last) {
			last, sent, pause = key, e.Now(), e.Poll
			if stream.send("task", data) != nil {
				return nil
			}
		}
		if ended || !e.pause(r.Context(), woken, pause) {
			return nil // the client asks again if the service stops
		}
		leave()
		woken, leave = e.Bus.Wait(topic)
		if key, data, ended, err = get(); err != nil {
			e.Log.WarnContext(r.Context(), "watching a task", logkey.Task, r.PathValue("id"), logkey.Error, err)
			return nil // the answer has begun: the client asks again
		}
	}
}

// pause waits until woken is closed, or for d. It returns false if the stream has to end.
func (e *Edge) pause(ctx context.Context, woken <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-e.Stopping:
		return false
	case <-woken:
	case <-timer.C:
	}
	return true
}

// taskEvent returns the task as JSON, and as a key the same without what changes
// merely because time passes, which tells whether anything has happened.
func (e *Edge) taskEvent(t importtask.Task) (key, data []byte) {
	w := e.wireTask(t)
	data = mustMarshal(w)
	w.Seconds, w.Progress.BytesPerSecond = 0, 0
	return mustMarshal(w), data
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("adminapi: marshalling an event: " + err.Error()) // our own structs always marshal
	}
	return b
}
