package importtask

import (
	"context"

	"github.com/diskport/diskport/internal/imports/source"
)

// FailureError is a failure that a task would end with.
type FailureError struct{ Failure }

func (e *FailureError) Error() string { return "importtask: " + e.Message + " (" + e.Detail + ")" }

// Check returns how req would fail, and changes nothing. When Import would refuse
// it, the error is Import's; when its task would fail on looking into the image, it
// is a *FailureError.
func (s *Service) Check(ctx context.Context, req Request) error {
	if _, replayed, err := s.replay(ctx, req); replayed || err != nil {
		return err
	}
	if err := s.room(ctx, req.Home()); err != nil {
		return err
	}
	return s.checkDisk(ctx, req, s.look)
}

// CheckImage is Check for an image.
func (s *Service) CheckImage(ctx context.Context, req ImageRequest) error {
	if _, replayed, err := s.replayImage(ctx, req); replayed || err != nil {
		return err
	}
	if err := s.room(ctx, req.Home()); err != nil {
		return err
	}
	disks := 0
	for i, c := range req.Containers {
		err := s.given(ctx, req, c)
		within := 1
		if c.Snapshot == "" {
			err = s.checkDisk(ctx, req.disk(c), func(ctx context.Context, pin source.Pin, format string) (err error) {
				within, err = s.lookInside(ctx, pin, format)
				return err
			})
		}
		if disks += within; err == nil && disks > MaxDisks {
			f, _ := FailureOf(&DisksError{disks})
			err = &FailureError{f}
		}
		if err != nil {
			return &ContainerError{i + 1, err}
		}
	}
	return nil
}

// checkDisk returns how the import of a disk would fail; look opens the image.
func (s *Service) checkDisk(ctx context.Context, req Request, look func(context.Context, source.Pin, string) error) error {
	loc, err := s.Sources.Resolve(ctx, req.source(s.Now()))
	if err != nil {
		return err
	}
	if err := s.mayRead(ctx, req, loc); err != nil {
		return err
	}
	if loc.Kind == source.Handover {
		return nil // the token is good for one use, which is Import's
	}
	pin, err := s.Sources.Pin(ctx, s.IDs.Task(), loc)
	if err != nil {
		return sourceError(loc, err)
	}
	defer s.release(ctx, pin)
	err = look(ctx, pin, req.Format)
	if err == nil && req.Encrypted {
		err = s.mayEncrypt(ctx, req, pin)
	}
	if err != nil {
		f, _ := FailureOf(err)
		return &FailureError{f}
	}
	return nil
}

// mayEncrypt tries the key as the plan of a task would.
func (s *Service) mayEncrypt(ctx context.Context, req Request, pin source.Pin) error {
	t := Task{Account: req.Account, Region: req.Region, RoleName: req.RoleName, KMSKey: req.KMSKey}
	who, err := keyUser(ctx, s.Roles, t, req.kind(), pin, s.Now())
	if err != nil {
		return err
	}
	return s.Keys.MayWrite(ctx, who, req.KMSKey, s.IDs.Snapshot())
}

// look opens an image as the plan of a task would.
func (s *Service) look(ctx context.Context, pin source.Pin, format string) error {
	return s.lookAt(ctx, pin, content{format: format}, false)
}

// lookInside opens every disk of an image's container as the plans of its tasks would, and
// returns how many there are.
func (s *Service) lookInside(ctx context.Context, pin source.Pin, format string) (disks int, err error) {
	found, ok, err := s.Images.contents(ctx, pin, format)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 1, s.lookAt(ctx, pin, content{format: format}, true)
	}
	if n := len(found.Disks); n > MaxDisks {
		return n, &DisksError{n}
	}
	for _, member := range found.Disks {
		if err := s.lookAt(ctx, pin, content{format, member}, true); err != nil {
			return 0, err
		}
	}
	return len(found.Disks), nil
}

func (s *Service) lookAt(ctx context.Context, pin source.Pin, c content, inOVA bool) error {
	d, object, err := s.Images.open(ctx, pin, c)
	if err != nil {
		return err
	}
	defer closeImage(d, object)
	return s.Images.accept(describe(d), inOVA)
}
