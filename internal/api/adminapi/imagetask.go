package adminapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/listing"
)

// imageTask is the import of a machine image on the wire.
type imageTask struct {
	ID           string            `json:"id"`
	Region       string            `json:"region"`
	Status       string            `json:"status"`
	Phase        string            `json:"phase,omitempty"`
	Description  string            `json:"description,omitempty"`
	ImageID      string            `json:"imageId,omitempty"`
	Architecture string            `json:"architecture,omitempty"`
	BootMode     string            `json:"bootMode,omitempty"`
	Guest        string            `json:"guest,omitempty"` // as its OVF has it
	Notes        []string          `json:"notes"`           // what the import does not do
	Progress     progress          `json:"progress"`        // of all disks together
	Failure      *taskFailure      `json:"failure,omitempty"`
	Retry        *taskRetry        `json:"retry,omitempty"`   // of what is about all disks
	Waiting      *taskWaiting      `json:"waiting,omitempty"` // likewise
	Disks        []imageDisk       `json:"disks"`
	Tags         map[string]string `json:"tags,omitempty"`
	CreatedAt    time.Time         `json:"createdAt"`
	EndedAt      *time.Time        `json:"endedAt,omitempty"`
	Seconds      float64           `json:"seconds"` // since it was accepted
}

// imageDisk is a disk of an image, or a snapshot that was there before, of which there
// are only device and snapshot.
type imageDisk struct {
	Device     string `json:"device"`
	SnapshotID string `json:"snapshotId,omitempty"`
	Member     string `json:"member,omitempty"` // its file in the OVA
	Task       *task  `json:"task,omitempty"`
}

func (e *Edge) listImageTasks(r *request) error {
	after, limit, err := pageOf(r)
	if err != nil {
		return err
	}
	list, err := e.Tasks.ImageTasks(r.Context(), r.call.Home(), importtask.Filter{}, after, limit+1)
	if err != nil {
		return err
	}
	list, next := cut(list, limit, func(t importtask.ImageTask) listing.Place { return listing.At(t.CreatedAt, t.ID) })
	answer := struct {
		Tasks []imageTask `json:"tasks"`
		Next  string      `json:"next,omitempty"`
	}{make([]imageTask, 0, len(list)), next}
	for _, t := range list {
		answer.Tasks = append(answer.Tasks, e.wireImageTask(t))
	}
	writeJSON(r.w, http.StatusOK, answer)
	return nil
}

func (e *Edge) getImageTask(r *request) error {
	t, err := e.Tasks.ImageTask(r.Context(), r.call.Home(), r.PathValue("id"))
	if err != nil {
		return err
	}
	writeJSON(r.w, http.StatusOK, e.wireImageTask(t))
	return nil
}

func (e *Edge) wireImageTask(t importtask.ImageTask) imageTask {
	m := t.Machine()
	w := imageTask{
		ID: t.ID, Region: t.Region, Status: string(t.State), Description: t.Spec.Description, ImageID: t.ImageID,
		Architecture: m.Architecture, BootMode: m.BootMode, Guest: m.Guest, Notes: []string{importtask.Note}, Progress: e.wireProgress(sumOf(t)),
		Disks: []imageDisk{}, Tags: wireTags(t.Tags), CreatedAt: t.CreatedAt.UTC(), EndedAt: timeOrNil(t.EndedAt),
	}
	w.Seconds = e.end(importtask.Task{EndedAt: t.EndedAt}).Sub(t.CreatedAt).Seconds()
	if m.Empty > 0 {
		w.Notes = append(w.Notes, fmt.Sprintf("The machine has %d more disks, which its OVF wants to be created empty; the image lacks them.", m.Empty))
	}
	switch t.State {
	case importtask.Active:
		w.Phase, w.Retry, w.Waiting = string(t.Phase()), wireRetry(t.Retry), wireWaiting(t.Waiting)
	case importtask.Completed:
	default:
		w.Failure = wireFailure(t.Failure)
	}
	for _, d := range t.Devices() {
		disk := imageDisk{Device: d.Name, SnapshotID: d.Snapshot()}
		if d.Disk != nil {
			task := e.wireTask(*d.Disk)
			disk.SnapshotID, disk.Member, disk.Task = task.SnapshotID, d.Disk.MemberName(), &task
		}
		w.Disks = append(w.Disks, disk)
	}
	return w
}

// sumOf returns a task that has all data of an image to deal with.
func sumOf(t importtask.ImageTask) importtask.Task {
	sum := importtask.Task{State: t.State, CreatedAt: t.CreatedAt, EndedAt: t.EndedAt}
	for _, d := range t.Disks {
		sum.Ranges, sum.RangesLeft = append(sum.Ranges, d.Ranges...), sum.RangesLeft+d.RangesLeft
		if sum.StartedAt.IsZero() || d.StartedAt.Before(sum.StartedAt) {
			sum.StartedAt = d.StartedAt
		}
	}
	_, sum.Counts = t.Total()
	return sum
}

// imageTaskEvent is taskEvent for the import of an image.
func (e *Edge) imageTaskEvent(t importtask.ImageTask) (key, data []byte) {
	w := e.wireImageTask(t)
	data = mustMarshal(w)
	w.Seconds, w.Progress.BytesPerSecond = 0, 0
	for i := range w.Disks {
		if d := w.Disks[i].Task; d != nil {
			d.Seconds, d.Progress.BytesPerSecond = 0, 0
		}
	}
	return mustMarshal(w), data
}
