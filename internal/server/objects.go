package server

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/api/s3api"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blobdir"
)

// openObjects opens the embedded S3's objects.
func (a *App) openObjects(p *parts) error {
	dir, err := blobdir.New(a.data.file("objects"))
	if err != nil {
		return err
	}
	a.closers.add(dir.Close)
	files := guardedFiles{dir, a.space}
	p.objectFiles = files
	p.objects = objects.New(objects.Options{
		Store: p.db.Objects(), Files: files, Aside: files, Older: a.cfg.AcceptOlderDatabase, Quota: a.cfg.QuotaObjects, All: a.cfg.QuotaAllObjects, Keys: p.ssekms, Log: a.log,
		Free: a.spare(func() (int64, error) { return space.Free(a.data.path) }), Now: time.Now, Aged: a.clock.Now,
	})
	a.closers.add(p.objects.Close)
	return nil
}

// s3Edge makes the edge of the embedded S3.
func (a *App) s3Edge(p *parts) *s3api.Edge {
	return s3api.New(s3api.Options{
		Objects: p.objects, Keys: p.iam, Principals: p.iam, Encryption: p.ssekms, Regions: a.cfg.regions, Domain: a.cfg.Domain,
		Strict: a.cfg.StrictAWS, Log: a.log, Aged: a.clock.Now,
	})
}

// uploadsExpire is how often the lifecycle rules of buckets are applied.
const uploadsExpire = time.Hour

// expireUploads aborts uploads that buckets have let wait for long enough, until ctx
// ends.
func (a *App) expireUploads(ctx context.Context) {
	every := time.NewTicker(uploadsExpire)
	defer every.Stop()
	for {
		accounts, err := a.parts.iam.Accounts(ctx)
		for _, account := range accounts {
			if err == nil {
				err = a.parts.s3.ExpireUploads(ctx, account.ID)
			}
		}
		if err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "expiring unfinished uploads", logkey.Error, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
