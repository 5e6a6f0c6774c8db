package adminapi

import (
	"net/http"
	"time"

	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// snapshotInfo is a snapshot on the wire.
type snapshotInfo struct {
	ID           string            `json:"id"`
	Region       string            `json:"region"`
	State        string            `json:"state"`
	Description  string            `json:"description"`
	SourceName   string            `json:"sourceName,omitempty"` // of the file that was imported
	ImportTaskID string            `json:"importTaskId,omitempty"`
	VolumeSize   int64             `json:"volumeSize"`   // GiB
	VirtualBytes int64             `json:"virtualBytes"` // of the imported disk
	DataBytes    int64             `json:"dataBytes"`    // blocks it is made of, before sharing
	AddedBytes   int64             `json:"addedBytes"`   // to the store, when it was made
	Blocks       int64             `json:"blocks"`
	Encrypted    bool              `json:"encrypted"`
	KMSKeyARN    string            `json:"kmsKeyArn,omitempty"`
	Message      string            `json:"message,omitempty"` // why it is in error
	Tags         map[string]string `json:"tags,omitempty"`
	StartedAt    time.Time         `json:"startedAt"`
	CompletedAt  *time.Time        `json:"completedAt,omitempty"`
}

func (e *Edge) listSnapshots(r *request) error {
	after, limit, err := pageOf(r)
	if err != nil {
		return err
	}
	home := r.call.Home()
	list, err := e.Snapshots.List(r.Context(), home, snapshot.Filter{Owners: []string{home.Account}}, after, limit+1)
	if err != nil {
		return err
	}
	list, next := cut(list, limit, func(s snapshot.Record) listing.Place { return listing.At(s.StartedAt, s.ID) })
	answer := struct {
		Snapshots []snapshotInfo `json:"snapshots"`
		Next      string         `json:"next,omitempty"`
	}{make([]snapshotInfo, 0, len(list)), next}
	for _, s := range list {
		answer.Snapshots = append(answer.Snapshots, wireSnapshot(s))
	}
	writeJSON(r.w, http.StatusOK, answer)
	return nil
}

func (e *Edge) getSnapshot(r *request) error {
	s, err := e.ownSnapshot(r)
	if err != nil {
		return err
	}
	writeJSON(r.w, http.StatusOK, wireSnapshot(s))
	return nil
}

// ownSnapshot returns the snapshot that the request names, if it is the caller's.
func (e *Edge) ownSnapshot(r *request) (snapshot.Record, error) {
	s, err := e.Snapshots.Get(r.Context(), r.call.Region, r.PathValue("id"))
	if err != nil {
		return snapshot.Record{}, err
	}
	if s.Account != r.call.Principal.Account {
		return snapshot.Record{}, snapshot.ErrNotFound
	}
	return s, nil
}

// ownCompleted is ownSnapshot for requests that read a snapshot's blocks or pages.
func (e *Edge) ownCompleted(r *request) (snapshot.Record, error) {
	s, err := e.ownSnapshot(r)
	if err == nil && s.State != snapshot.Completed {
		err = &failure{http.StatusConflict, "IncorrectState", "snapshot " + s.ID + " is " + string(s.State)}
	}
	return s, err
}

func wireSnapshot(s snapshot.Record) snapshotInfo {
	w := snapshotInfo{
		ID:           s.ID,
		Region:       s.Region,
		State:        string(s.State),
		Description:  s.Description,
		SourceName:   s.SourceName,
		ImportTaskID: s.ImportTask(),
		VolumeSize:   s.VolumeSize,
		VirtualBytes: s.VirtualSize,
		DataBytes:    s.Blocks * block.Size,
		AddedBytes:   s.Added,
		Blocks:       s.Blocks,
		Encrypted:    s.KMSKey != "",
		KMSKeyARN:    s.KMSKey,
		Message:      s.Message,
		Tags:         wireTags(s.Tags),
		StartedAt:    s.StartedAt.UTC(),
		CompletedAt:  timeOrNil(s.CompletedAt),
	}
	if w.Description == "" && s.Task != "" {
		w.Description = s.GeneratedDescription()
	}
	return w
}

func (e *Edge) collect(r *request) error {
	freed, err := e.Collector.Run(r.Context())
	if err != nil {
		return err
	}
	freed.Log(r.Context(), e.Log)
	writeJSON(r.w, http.StatusOK, struct {
		Blocks      int64    `json:"blocks"`
		Files       int64    `json:"files"`
		Bytes       int64    `json:"bytes"`
		Quarantined []string `json:"quarantined,omitempty"`
		Damaged     []string `json:"damaged,omitempty"`
		Implausible string   `json:"implausible,omitempty"`
	}{freed.Blocks, freed.Files, freed.Bytes, freed.Aside, freed.Damaged, freed.Implausible})
	return nil
}
