package metadb

import (
	"context"
	"testing"
	"time"

	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/imports/objects/objectstest"
)

func TestObjects(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		objectstest.Test(t, func(t *testing.T) objectstest.Bench {
			db := fresh(t)
			return objectstest.Bench{Store: db.Objects(), Holds: db.Holds(), Check: func(t *testing.T) { checkCounts(t, db) }}
		})
	})
}

// checkCounts compares what rows of the embedded S3 say with what there is.
func checkCounts(t *testing.T, db *DB) {
	t.Helper()
	for what, stmt := range map[string]string{
		"contents whose names are miscounted": `SELECT COUNT(*) FROM s3_contents c WHERE c.refs <>
			(SELECT COUNT(*) FROM s3_objects WHERE content = c.id) + (SELECT COUNT(*) FROM s3_parts WHERE content = c.id) + (SELECT COUNT(*) FROM s3_pins WHERE content = c.id)`,
		"pieces whose extents are miscounted":  `SELECT COUNT(*) FROM s3_pieces p WHERE p.refs <> (SELECT COUNT(*) FROM s3_extents WHERE piece = p.id)`,
		"contents whose extents do not add up": `SELECT COUNT(*) FROM s3_contents c WHERE c.size <> (SELECT COALESCE(SUM(len), 0) FROM s3_extents WHERE content = c.id)`,
		"extents beyond their pieces":          `SELECT COUNT(*) FROM s3_extents e JOIN s3_pieces p ON p.id = e.piece WHERE e.skip + e.len > p.size`,
		"extents of nothing":                   `SELECT COUNT(*) FROM s3_extents WHERE content NOT IN (SELECT id FROM s3_contents) OR piece NOT IN (SELECT id FROM s3_pieces)`,
		"parts of no object":                   `SELECT COUNT(*) FROM s3_content_parts WHERE content NOT IN (SELECT id FROM s3_contents)`,
		"parts of no upload":                   `SELECT COUNT(*) FROM s3_parts WHERE upload NOT IN (SELECT id FROM s3_uploads)`,
		"objects without content":              `SELECT COUNT(*) FROM s3_objects WHERE marker = 0 AND content NOT IN (SELECT id FROM s3_contents)`,
		"keys without a latest version":        `SELECT COUNT(*) FROM (SELECT bucket, key FROM s3_objects GROUP BY bucket, key HAVING SUM(latest) <> 1) x`,
		"latest versions that are not the newest": `SELECT COUNT(*) FROM s3_objects o WHERE latest = 1 AND EXISTS
			(SELECT 1 FROM s3_objects n WHERE n.bucket = o.bucket AND n.key = o.key AND n.place < o.place)`,
		"accounts that are charged wrongly": `SELECT COUNT(*) FROM s3_usage u WHERE u.bytes <>
			(SELECT COALESCE(SUM(o.size), 0) FROM s3_objects o JOIN s3_buckets b ON b.id = o.bucket WHERE b.account = u.account) +
			(SELECT COALESCE(SUM(p.size), 0) FROM s3_parts p JOIN s3_uploads l ON l.id = p.upload JOIN s3_buckets b ON b.id = l.bucket WHERE b.account = u.account)`,
	} {
		if n, err := db.count(t.Context(), "check", stmt); err != nil || n != 0 {
			t.Errorf("%d %s, %v", n, what, err)
		}
	}
}

// objectLife returns the events of a bucket with a plain object, one with versions and
// one that was uploaded in parts.
func objectLife(db *DB) []lifeEvent {
	s := db.Objects()
	next := objects.PieceID(0)
	change := objects.Change{At: time.Unix(1e9, 0)}
	event := func(name string, do func(ctx context.Context) error) lifeEvent {
		return lifeEvent{"Objects." + name, do}
	}
	pieces := event("AddPieces", func(ctx context.Context) error {
		if err := s.AddPieces(ctx, 1, []objects.PieceID{next + 1, next + 2}); err != nil {
			return err
		}
		next += 2
		return nil
	})
	put := event("Put", func(ctx context.Context) error {
		_, err := s.Put(ctx, objects.Put{Bucket: "b", Key: "k", Piece: objects.Piece{ID: next, Size: 3}}, change)
		return err
	})
	remove := event("Delete", func(ctx context.Context) error {
		_, err := s.Delete(ctx, "b", []objects.Deletion{{Key: "k"}, {Key: "k", Version: objects.NullVersion}}, change)
		return err
	})
	part := func(number int, piece *objects.PieceID, source *objects.Object) lifeEvent {
		return event("PutPart", func(ctx context.Context) error {
			p := objects.NewPart{Bucket: "b", Key: "k", Upload: "u", Part: objects.Part{Number: number, Size: objects.MinPart, ETag: "0a"}}
			if source != nil {
				p.Source, p.Part.Size = source.Content, 2
			} else {
				p.Piece = *piece
			}
			return s.PutPart(ctx, p, change)
		})
	}
	var source objects.Object
	return []lifeEvent{
		event("CreateBucket", func(ctx context.Context) error { return s.CreateBucket(ctx, objects.Bucket{Name: "b", Account: "a"}) }),
		event("SetSetting", func(ctx context.Context) error { return s.SetSetting(ctx, "b", objects.Setting{Name: "policy"}) }),
		pieces, put, pieces, put,
		event("SetTags", func(ctx context.Context) (err error) {
			source, err = s.SetTags(ctx, "b", "k", "", nil)
			return err
		}),
		event("Pin", func(ctx context.Context) error {
			_, err := s.Pin(ctx, "b", "k", "", "p")
			return err
		}),
		event("SetVersioning", func(ctx context.Context) error { return s.SetVersioning(ctx, "b", objects.Enabled) }),
		event("Copy", func(ctx context.Context) error {
			_, err := s.Copy(ctx, objects.Copy{Source: source, Bucket: "b", Key: "k"}, change)
			return err
		}),
		remove,
		event("SetVersioning", func(ctx context.Context) error { return s.SetVersioning(ctx, "b", objects.Suspended) }),
		remove, pieces, put,
		event("CreateUpload", func(ctx context.Context) error {
			_, err := s.CreateUpload(ctx, objects.Upload{ID: "u", Bucket: "b", Key: "k"})
			return err
		}),
		pieces, part(1, &next, nil), pieces, part(1, &next, nil), part(2, nil, &source), part(3, nil, &source),
		event("CompleteUpload", func(ctx context.Context) error {
			_, err := s.CompleteUpload(ctx, objects.Completion{
				Bucket: "b", Key: "k", Upload: "u", Size: -1, Parts: []objects.CompletedPart{{Number: 1, ETag: "0a"}, {Number: 3, ETag: "0a"}},
			}, change)
			return err
		}),
		event("Release", func(ctx context.Context) error { return s.Release(ctx, "p") }),
		event("Garbage", func(ctx context.Context) error {
			_, err := s.Garbage(ctx, 1, 0, 10)
			return err
		}),
		event("ForgetPieces", func(ctx context.Context) error { return s.ForgetPieces(ctx, []objects.PieceID{2, 4, 6}) }),
		event("CreateUpload", func(ctx context.Context) error {
			_, err := s.CreateUpload(ctx, objects.Upload{ID: "u", Bucket: "b", Key: "k"})
			return err
		}),
		part(1, nil, &source),
		event("AbortUpload", func(ctx context.Context) error { return s.AbortUpload(ctx, "b", "k", "u") }),
		event("ForgetCompletions", func(ctx context.Context) error { return s.ForgetCompletions(ctx, time.Unix(2e9, 0)) }),
	}
}
