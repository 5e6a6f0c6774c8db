package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/work"
)

// BasedDraft is a draft that is about to be started, and the snapshot that it begins as.
type BasedDraft struct {
	Draft Draft
	Base  string // id of a completed snapshot
}

// ImageCopies makes images over copies of snapshots. Both methods are one transaction each
// and may be called concurrently.
type ImageCopies interface {
	// StartCopy starts all copies, as DraftRecords.Start does, and stores the image that is
	// made of them, or does neither. When the account already has an image with the same
	// Token in the region, StartCopy returns that one, and created is false; the caller
	// compares the Digest. ErrTooMany when the account would have more than limit copies
	// in the region, ErrNotFound when there is no such base, *image.NameError.
	StartCopy(ctx context.Context, i image.Image, copies []BasedDraft, limit int) (stored image.Image, created bool, err error)
	// ImageByToken returns the image that was made with a client token.
	// image.ErrNotFound.
	ImageByToken(ctx context.Context, home awsid.Home, token string) (image.Image, error)
}

// ImageCopyRequest asks for a copy of an image, and of each of its snapshots.
type ImageCopyRequest struct {
	Image        image.Image // the copy, whose devices name the snapshots of the source
	SourceRegion string
	Caller       kms.Caller  // who must be allowed to use keys
	Encrypt      *Encryption // nil: as the sources are
	DefaultKey   string      // the account's, as Encryption.Key
	Tags         tag.Set     // of the new snapshots
}

// CopyImage makes an image over copies of another's snapshots. It is pending until all of
// them are completed. Two requests with one client token at the same time get the same
// image. ErrNotFound (a snapshot is gone, or the account may not use it), ErrNotPending
// (one is not completed), ErrTooMany, ErrTokenReused, *image.NameError.
func (d *Drafts) CopyImage(ctx context.Context, r ImageCopyRequest) (image.Image, error) {
	i := r.Image
	if i.Token != "" {
		made, err := d.Images.ImageByToken(ctx, i.Home(), i.Token)
		if !errors.Is(err, image.ErrNotFound) {
			return sameImage(made, i, err)
		}
	}
	copies, err := d.copiesFor(ctx, &i, r)
	if err != nil {
		return image.Image{}, err
	}
	stored, created, err := d.Images.StartCopy(ctx, i, copies, MaxCopies)
	if created {
		d.Bus.Wake(work.Due(work.Complete))
	}
	return sameImage(stored, i, err)
}

// sameImage returns what was made, unless that was for another request than i's.
func sameImage(made, i image.Image, err error) (image.Image, error) {
	if err == nil && made.Digest != i.Digest {
		err = ErrTokenReused
	}
	return made, err
}

// copiesFor prepares a copy of each snapshot that the devices of i name, and makes them
// name the copies.
func (d *Drafts) copiesFor(ctx context.Context, i *image.Image, r ImageCopyRequest) (copies []BasedDraft, err error) {
	made := map[string]Record{} // by source
	devices := make([]image.Device, len(i.Devices))
	for n, device := range i.Devices {
		devices[n] = device
		if device.Snapshot == "" {
			continue
		}
		rec, ok := made[device.Snapshot]
		if !ok {
			draft, err := d.copyOf(ctx, CopyRequest{
				Home: i.Home(), Caller: r.Caller, Source: device.Snapshot, SourceRegion: r.SourceRegion,
				Description: describeCopy(*i, device.Snapshot, d.Now()), Encrypt: r.Encrypt, DefaultKey: r.DefaultKey, Tags: r.Tags,
			})
			if err != nil {
				return nil, fmt.Errorf("copying %s: %w", device.Snapshot, err)
			}
			copies = append(copies, BasedDraft{draft, device.Snapshot})
			rec = draft.Record
			made[device.Snapshot] = rec
		}
		devices[n].Snapshot, devices[n].Encrypted = rec.ID, rec.KMSKey != ""
	}
	i.Devices = devices
	return copies, nil
}

// describeCopy is the description that AWS gives the snapshots of a copied image.
func describeCopy(i image.Image, source string, now time.Time) string {
	return fmt.Sprintf("Copied for DestinationAmi %s from SourceAmi %s for SourceSnapshot %s. Task created on %s.",
		i.ID, i.SourceImage, source, grouped(now.UnixMilli()))
}

// grouped writes a number with a comma between thousands.
func grouped(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}
