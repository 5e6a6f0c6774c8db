package importtask

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/listing"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/work"
)

// ImportImage is Import for a machine image: each of its sources is checked and pinned as
// that of a snapshot's import is. Errors about one of the containers are
// *ContainerErrors.
func (s *Service) ImportImage(ctx context.Context, req ImageRequest) (ImageTask, error) {
	if t, ok, err := s.replayImage(ctx, req); ok || err != nil {
		return t, err
	}
	if err := s.room(ctx, req.Home()); err != nil {
		return ImageTask{}, err
	}
	where, err := s.locate(ctx, req)
	if err != nil {
		return ImageTask{}, err
	}
	if err := s.growth(); err != nil {
		return ImageTask{}, err
	}
	t := ImageTask{
		ID: s.IDs.ImageTask(), Account: req.Account, Region: req.Region, State: Active, CreatedAt: s.Now(),
		Token: req.Token, RequestDigest: req.Digest, Spec: req.Spec,
	}
	if t.Tags, err = t.Tags.Merge(req.Tags); err != nil {
		return ImageTask{}, err
	}
	pins, err := s.pinDisks(ctx, &t, req, where)
	var stored ImageTask
	created := false
	if err == nil {
		stored, created, err = s.Store.CreateImage(ctx, t, s.Limit)
		if errors.Is(err, work.ErrNoDatabase) { // as in Import
			return s.madeImage(ctx, t)
		}
	}
	if err != nil || !created {
		for _, pin := range pins {
			s.release(ctx, pin)
		}
	}
	if err != nil {
		return ImageTask{}, err
	}
	if !created {
		return sameImageRequest(stored, req)
	}
	s.Bus.Wake(work.Due(work.Plan), work.Due(work.Publish)) // the latter of given snapshots alone
	return stored, nil
}

// madeImage is made for an image.
func (s *Service) madeImage(ctx context.Context, t ImageTask) (ImageTask, error) {
	stored, err := s.Store.GetImage(context.WithoutCancel(ctx), t.Home(), t.ID)
	if err != nil {
		return ImageTask{}, fmt.Errorf("%w: whether the task was made is not known: %w", work.ErrNoDatabase, err)
	}
	s.Bus.Wake(work.Due(work.Plan), work.Due(work.Publish)) // the latter of given snapshots alone
	return stored, nil
}

// locate returns where the disks of an image lie, in the order of its containers, once
// they may be read; that of a given snapshot is the zero Location.
func (s *Service) locate(ctx context.Context, req ImageRequest) ([]source.Location, error) {
	where := make([]source.Location, len(req.Containers))
	for i, c := range req.Containers {
		err := s.given(ctx, req, c)
		if c.Snapshot == "" {
			disk := req.disk(c)
			if where[i], err = s.Sources.Resolve(ctx, disk.source(s.Now())); err == nil {
				err = s.mayRead(ctx, disk, where[i])
			}
		}
		if err != nil {
			return nil, &ContainerError{i + 1, err}
		}
	}
	return where, nil
}

// given checks that the snapshot of a container, if it is one, can be made an image of.
func (s *Service) given(ctx context.Context, req ImageRequest, c Container) error {
	if c.Snapshot == "" {
		return nil
	}
	rec, err := s.Records.Get(ctx, req.Region, c.Snapshot)
	switch {
	case errors.Is(err, snapshot.ErrNotFound), err == nil && !rec.UsableBy(req.Account):
		return &image.NoSnapshotError{ID: c.Snapshot}
	case err == nil && rec.State != snapshot.Completed:
		return &UnfinishedError{c.Snapshot}
	}
	return err
}

// pinDisks adds the disks to a task, and what is given. It returns the pins that were
// made, also with an error.
func (s *Service) pinDisks(ctx context.Context, t *ImageTask, req ImageRequest, where []source.Location) (pins []source.Pin, err error) {
	for i, c := range req.Containers {
		place := Place{i + 1, 1}
		if c.Snapshot != "" {
			t.Spec.Given = append(t.Spec.Given, Given{Container: place.Container, Snapshot: c.Snapshot, Device: c.Device, Description: c.Description})
			continue
		}
		disk, err := s.newTask(DiskID(t.ID, place), req.disk(c), where[i])
		if err != nil {
			return pins, err
		}
		disk.ImageTask, disk.Place, disk.Device, disk.CreatedAt = t.ID, place, c.Device, t.CreatedAt
		pin, err := s.pin(ctx, &disk, where[i])
		if err != nil {
			return pins, &ContainerError{place.Container, err}
		}
		pins, t.Disks = append(pins, pin), append(t.Disks, disk)
	}
	return pins, nil
}

// replayImage is replay for an image.
func (s *Service) replayImage(ctx context.Context, req ImageRequest) (t ImageTask, ok bool, err error) {
	if req.Token == "" {
		return t, false, nil
	}
	t, err = s.Store.ImageByToken(ctx, req.Home(), req.Token)
	if errors.Is(err, ErrNotFound) {
		return t, false, nil
	}
	if err != nil {
		return t, false, err
	}
	t, err = sameImageRequest(t, req)
	return t, true, err
}

func sameImageRequest(t ImageTask, req ImageRequest) (ImageTask, error) {
	if t.RequestDigest != req.Digest {
		return ImageTask{}, ErrTokenReused
	}
	return t, nil
}

// ImageTask returns the task of one image with the live counts of its disks.
func (s *Service) ImageTask(ctx context.Context, home awsid.Home, id string) (ImageTask, error) {
	t, err := s.Store.GetImage(ctx, home, id)
	if err != nil {
		return t, err
	}
	s.overlayDisks(t)
	return t, nil
}

// ImageTasks is Tasks for images.
func (s *Service) ImageTasks(ctx context.Context, home awsid.Home, f Filter, after listing.Place, limit int) ([]ImageTask, error) {
	ts, err := s.Store.ListImages(ctx, home, f, after, limit)
	for _, t := range ts {
		s.overlayDisks(t)
	}
	return ts, err
}

func (s *Service) overlayDisks(t ImageTask) {
	for i := range t.Disks {
		s.overlay(&t.Disks[i])
	}
}

// WaitImage is Wait for an image.
func (s *Service) WaitImage(ctx context.Context, home awsid.Home, id string) (ImageTask, error) {
	return wait(ctx, s, id, func(ctx context.Context) (ImageTask, State, error) {
		t, err := s.ImageTask(ctx, home, id)
		return t, t.State, err
	})
}
