package main

import (
	"context"
	"fmt"

	"github.com/diskport/diskport/internal/client"
)

// fullError is an error for want of disk space, with how things stand at the service and
// what can be done.
type fullError struct {
	error
	state string
}

func (e *fullError) Unwrap() error { return e.error }

// withSpace adds to an error of a service whose disk is full how full it is.
func withSpace(ctx context.Context, s *session, err error) error {
	if !client.IsNoSpace(err) {
		return err
	}
	h, asked := s.Health(ctx)
	if asked != nil {
		return err
	}
	return &fullError{err, spaceState(h)}
}

// spaceState says what is full, how much is missing, and how to go on.
func spaceState(h client.Health) string {
	free := size(h.Space.FreeBytes) + " are free on the disk of the data directory"
	if h.Status != "full" {
		return fmt.Sprintf("%s; uploads leave --reserve free, which is %s, and %s besides. "+
			"Delete snapshots or objects and run diskport gc, free space on that disk, or start the service with a smaller --reserve.",
			free, size(h.Space.ReserveBytes), size(h.Space.LeastBytes))
	}
	since := ""
	if h.Space.Since != nil {
		since = " since " + h.Space.Since.Local().Format("2006-01-02 15:04:05")
	}
	next := "Delete snapshots or objects and run diskport gc, or free space on that disk; reads, deletions, gc and compaction go on meanwhile."
	if h.Space.BallastBytes == 0 {
		next = "The ballast is used up, so deletions may find no room either: then free a few MiB on that disk by other means first. Delete snapshots or objects and run diskport gc."
	}
	return fmt.Sprintf("It has been full%s: %s, %s are needed before the service takes data again, which it does by itself. %s",
		since, free, size(h.Space.NeededBytes), next)
}
