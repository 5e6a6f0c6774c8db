package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/audit"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/backup"
)

// DefaultAuditEvery is how long records of the audit log wait for others, as at AWS.
const DefaultAuditEvery = 5 * time.Minute

// spoolName is the folder of the records that an S3 does not have yet.
const spoolName = "audit"

// auditPlace is what an audit log goes to.
type auditPlace struct {
	file     string       // empty: a bucket
	bucket   backup.Place // with its endpoint and region
	embedded bool         // the bucket is one of the embedded S3
}

// parseAuditPlace reads the absolute path of a file, or a bucket with a prefix: one of the
// embedded S3, unless it says where it is.
func parseAuditPlace(text string) (auditPlace, error) {
	if !strings.HasPrefix(text, "s3://") {
		if !filepath.IsAbs(text) {
			return auditPlace{}, fmt.Errorf("server: --audit-log: %q is neither the absolute path of a file nor s3://BUCKET/PREFIX", text)
		}
		return auditPlace{file: text}, nil
	}
	at, err := backup.ParsePlace(text)
	if err != nil {
		return auditPlace{}, fmt.Errorf("server: --audit-log: %q is not s3://BUCKET/PREFIX, or s3://BUCKET/PREFIX?endpoint=URL&region=REGION for an S3 elsewhere", text)
	}
	return auditPlace{bucket: at, embedded: !strings.Contains(text, "?")}, nil
}

// checkAudit checks where audit logs go, before anything is opened.
func (c Config) checkAudit() error {
	buckets, files := 0, 0
	for _, text := range c.AuditLogs {
		at, err := parseAuditPlace(text)
		if err != nil {
			return err
		}
		if at.file == "" {
			buckets++
		} else {
			files++
		}
		if at.file == "" && !at.embedded && c.AuditCredentials == nil {
			return errors.New("server: --audit-log: an S3 elsewhere needs credentials")
		}
	}
	if buckets > 1 || files > 1 {
		return errors.New("server: --audit-log: records can go to one file and to one bucket, not to two of either")
	}
	return nil
}

// openAudit opens what the records of calls go to.
func (a *App) openAudit(metrics prometheus.Registerer) error {
	o := audit.Options{Metrics: metrics, Failed: func(err error) { a.log.Error("calls are not recorded in the audit log", logkey.Error, err) }, Disk: recordRoom{a.space}}
	var file *audit.File
	for _, text := range a.cfg.AuditLogs {
		at, err := parseAuditPlace(text)
		if err != nil {
			return err
		}
		if at.file == "" {
			a.spool, err = a.openSpool(at, metrics)
		} else {
			if file, err = audit.OpenFile(at.file); err == nil {
				file.Elsewhere = a.data.isElsewhere(at.file)
			}
		}
		if err != nil {
			return err
		}
	}
	if a.spool == nil {
		if n, err := audit.Waiting(a.data.file(spoolName)); err == nil && n > 0 {
			a.log.Warn("records of the audit log wait for a bucket, and --audit-log names none: name one until they are delivered, or move them away",
				"folder", a.data.file(spoolName), "files", n)
		}
	}
	switch {
	case file != nil && a.spool != nil:
		a.audit = audit.NewLog(o, file, a.spool)
	case file != nil:
		a.audit = audit.NewLog(o, file)
	case a.spool != nil:
		a.audit = audit.NewLog(o, a.spool)
	default:
		a.audit = audit.NewLog(o)
	}
	a.closers.add(a.audit.Close)
	return nil
}

// recordRoom is the room of the disk for records of the audit log. What is refused, or only
// read, may be asked for any number of times, and so may much of what succeeds and frees
// nothing: so records get no more than their part of what a full disk keeps.
type recordRoom struct{ *space.Guard }

func purposeOf(r audit.Record) space.Purpose {
	if r.ErrorCode != "" || r.ReadOnly {
		return space.ToGoOn
	}
	return space.ToRecord
}

// May implements audit.Disk.
func (d recordRoom) May(r audit.Record) bool { return d.Guard.May(purposeOf(r)) }

// LetGo implements audit.Disk.
func (d recordRoom) LetGo(r audit.Record) bool { return d.Guard.LetGo(purposeOf(r)) }

func (a *App) openSpool(at auditPlace, metrics prometheus.Registerer) (*audit.Spool, error) {
	var to audit.Bucket = embeddedBucket{a, at.bucket}
	if !at.embedded {
		target, err := at.bucket.Open(a.cfg.AuditCredentials)
		if err != nil {
			return nil, fmt.Errorf("server: --audit-log: %w", err)
		}
		to = targetBucket{target}
	}
	return audit.OpenSpool(audit.SpoolOptions{
		Dir: a.data.file(spoolName), To: to, Account: a.cfg.AccountID, Region: a.cfg.Region, Every: a.cfg.AuditEvery, Now: a.parts.db.Now, Metrics: metrics,
		Failed: func(err error) { a.log.Warn("records of the audit log wait in the data directory", logkey.Error, err) },
	})
}

// targetBucket is a bucket elsewhere.
type targetBucket struct{ backup.Target }

// Put implements audit.Bucket.
func (b targetBucket) Put(ctx context.Context, key string, content []byte) error {
	return b.Target.Put(ctx, key, bytes.NewReader(content), int64(len(content)))
}

// embeddedBucket is a bucket of the embedded S3. It must be the operator's: others may not
// see what their neighbours do.
type embeddedBucket struct {
	app *App
	at  backup.Place
}

// Put implements audit.Bucket. It makes the bucket if there is none.
func (b embeddedBucket) Put(ctx context.Context, key string, content []byte) error {
	store, operator := b.app.parts.objects, b.app.cfg.AccountID
	found, err := store.Bucket(ctx, b.at.Bucket)
	if errors.Is(err, objects.ErrNoSuchBucket) {
		found, err = store.CreateBucket(ctx, objects.Bucket{Name: b.at.Bucket, Account: operator, Region: b.app.cfg.Region})
	}
	if err != nil {
		return err
	}
	if found.Account != operator {
		return fmt.Errorf("server: bucket %s is that of account %s, and the audit log is for account %s", b.at.Bucket, found.Account, operator)
	}
	w, err := store.NewPiece(ctx, objects.PieceOptions{Account: operator, Size: int64(len(content))})
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		w.Abort()
		return err
	}
	piece, err := w.Finish(ctx)
	if err != nil {
		return err
	}
	_, err = store.Put(ctx, objects.Put{Bucket: b.at.Bucket, Key: b.at.Prefix + key, Piece: piece, Metadata: objects.Metadata{ContentType: "application/json", ContentEncoding: "gzip"}})
	return err
}
