package adminapi

import (
	"net/http"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/tag"
)

// task is an import task on the wire.
type task struct {
	ID           string            `json:"id"`
	Region       string            `json:"region"`
	Status       string            `json:"status"`
	Phase        string            `json:"phase,omitempty"`
	Description  string            `json:"description,omitempty"`
	Format       string            `json:"format,omitempty"`
	Bucket       string            `json:"bucket,omitempty"`
	Key          string            `json:"key,omitempty"`
	SourceName   string            `json:"sourceName,omitempty"` // of its file
	SnapshotID   string            `json:"snapshotId,omitempty"`
	VirtualBytes int64             `json:"virtualBytes"`
	SourceBytes  int64             `json:"sourceBytes"`
	Progress     progress          `json:"progress"`
	Failure      *taskFailure      `json:"failure,omitempty"`
	Retry        *taskRetry        `json:"retry,omitempty"`
	Waiting      *taskWaiting      `json:"waiting,omitempty"`
	Warnings     []string          `json:"warnings,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	CreatedAt    time.Time         `json:"createdAt"`
	StartedAt    *time.Time        `json:"startedAt,omitempty"`
	EndedAt      *time.Time        `json:"endedAt,omitempty"`
	Seconds      float64           `json:"seconds"` // since it was accepted
}

// progress counts finished work and work in flight.
type progress struct {
	Percent        int     `json:"percent"`
	DoneBytes      int64   `json:"doneBytes"`  // of TotalBytes
	TotalBytes     int64   `json:"totalBytes"` // data of the disk, by the image's tables
	ReadBytes      int64   `json:"readBytes"`  // from the source
	StoredBytes    int64   `json:"storedBytes"`
	Blocks         blocks  `json:"blocks"`
	Ranges         int     `json:"ranges"`
	RangesDone     int     `json:"rangesDone"`
	BytesPerSecond float64 `json:"bytesPerSecond"` // of DoneBytes, since the plan was made
}

type blocks struct {
	Data         int64 `json:"data"`
	Zero         int64 `json:"zero"`
	Deduplicated int64 `json:"deduplicated"`
}

// taskRetry is what is being tried again, and since when.
type taskRetry struct {
	Cause    string     `json:"cause"`
	Failures int        `json:"failures"` // in a row
	Since    time.Time  `json:"since"`
	Next     *time.Time `json:"next,omitempty"` // absent: it is being tried
}

// taskWaiting is what has to return before the task goes on, and since when.
type taskWaiting struct {
	For   string    `json:"for"`
	Since time.Time `json:"since"`
}

type taskFailure struct {
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Detail  string `json:"detail,omitempty"`
	Offset  *int64 `json:"offset,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func (e *Edge) listTasks(r *request) error {
	after, limit, err := pageOf(r)
	if err != nil {
		return err
	}
	list, err := e.Tasks.Tasks(r.Context(), r.call.Home(), importtask.Filter{}, after, limit+1)
	if err != nil {
		return err
	}
	list, next := cut(list, limit, func(t importtask.Task) listing.Place { return listing.At(t.CreatedAt, t.ID) })
	answer := struct {
		Tasks []task `json:"tasks"`
		Next  string `json:"next,omitempty"`
	}{make([]task, 0, len(list)), next}
	for _, t := range list {
		answer.Tasks = append(answer.Tasks, e.wireTask(t))
	}
	writeJSON(r.w, http.StatusOK, answer)
	return nil
}

func (e *Edge) getTask(r *request) error {
	t, err := e.Tasks.Task(r.Context(), r.call.Home(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(r.w, http.StatusOK, e.wireTask(t))
	return nil
}

func (e *Edge) wireTask(t importtask.Task) task {
	w := task{
		ID:           t.ID,
		Region:       t.Region,
		Status:       string(t.State),
		Description:  t.Description,
		Format:       t.Format,
		Bucket:       t.Bucket,
		Key:          t.Key,
		SourceName:   t.SourceName,
		VirtualBytes: t.Virtual,
		SourceBytes:  t.SourceBytes,
		Progress:     e.wireProgress(t),
		Warnings:     t.Warnings,
		Tags:         wireTags(t.Tags),
		CreatedAt:    t.CreatedAt.UTC(),
		StartedAt:    timeOrNil(t.StartedAt),
		EndedAt:      timeOrNil(t.EndedAt),
		Seconds:      e.end(t).Sub(t.CreatedAt).Seconds(),
	}
	switch t.State {
	case importtask.Active:
		w.Phase, w.Retry, w.Waiting = string(t.Phase), wireRetry(t.Retry), wireWaiting(t.Waiting)
	case importtask.Completed:
		w.SnapshotID = t.SnapshotID
	default:
		w.Failure = wireFailure(t.Failure)
	}
	return w
}

func (e *Edge) wireProgress(t importtask.Task) progress {
	p := progress{
		DoneBytes:   t.Counts.Done,
		TotalBytes:  t.Bytes(),
		ReadBytes:   t.Counts.Source,
		StoredBytes: t.Counts.Stored,
		Blocks:      blocks{t.Counts.Data, t.Counts.Zero, t.Counts.Deduplicated},
		Ranges:      len(t.Ranges),
		RangesDone:  len(t.Ranges) - t.RangesLeft,
	}
	switch {
	case t.State == importtask.Completed:
		p.Percent = 100
	case p.TotalBytes > 0:
		p.Percent = int(min(99, 100*p.DoneBytes/p.TotalBytes))
	}
	if took := e.end(t).Sub(t.StartedAt).Seconds(); !t.StartedAt.IsZero() && took > 0 {
		p.BytesPerSecond = float64(p.DoneBytes) / took
	}
	return p
}

// end is when the task ended, or now.
func (e *Edge) end(t importtask.Task) time.Time {
	if t.EndedAt.IsZero() {
		return e.Now()
	}
	return t.EndedAt
}

func wireRetry(r importtask.Retry) *taskRetry {
	if r.Failures == 0 {
		return nil
	}
	return &taskRetry{r.Cause, r.Failures, r.Since.UTC(), timeOrNil(r.Next)}
}

func wireWaiting(w importtask.Wait) *taskWaiting {
	if w.For == "" {
		return nil
	}
	return &taskWaiting{w.For, w.Since.UTC()}
}

func wireFailure(f importtask.Failure) *taskFailure {
	w := &taskFailure{Message: f.Message, Reason: f.Reason, Detail: f.Detail, Hint: f.Hint}
	if f.Offset >= 0 {
		w.Offset = &f.Offset
	}
	return w
}

func wireTags(tags tag.Set) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
