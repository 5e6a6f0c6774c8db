package metadb

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// TestNothingIsAddedToARemovedAccount: a request may have been authenticated before the account
// was removed. What it made afterwards nobody could name, or delete.
func TestNothingIsAddedToARemovedAccount(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		for _, account := range []string{"a", "b"} {
			if err := db.IAM().AddAccount(ctx, iam.AccessKey{ID: "AKIA" + account, Account: account, Wrapped: []byte{1}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.IAM().RemoveAccount(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		draft := func(account string) snapshot.Draft {
			return snapshot.Draft{Timeout: time.Hour, Record: snapshot.Record{ID: db.ids.Snapshot(), Account: account, Region: region, State: snapshot.Pending, VolumeSize: 1}}
		}
		before := dump(t, db)
		for what, add := range map[string]func(account string) error{
			"a volume": func(account string) error {
				_, _, err := db.Volumes().Create(ctx, db.named(account, "", 1))
				return err
			},
			"a draft": func(account string) error {
				_, _, err := db.Snapshots().Start(ctx, draft(account), "", 9)
				return err
			},
			"a task": func(account string) error {
				_, _, err := db.Tasks().Create(ctx, importtask.Task{ID: "import-snap-" + account, Account: account, Region: region}, 9)
				return err
			},
			"a task for an image": func(account string) error {
				_, _, err := db.Tasks().CreateImage(ctx, importtask.ImageTask{ID: "import-ami-" + account, Account: account, Region: region}, 9)
				return err
			},
			"a bucket": func(account string) error {
				return db.Objects().CreateBucket(ctx, objects.Bucket{Name: "bucket-" + account, Account: account, Region: region})
			},
			"an image": func(account string) error {
				return db.Images().Register(ctx, image.Image{ID: "ami-" + account, Account: account, Region: region, Name: "n"})
			},
			"a copy of an image": func(account string) error {
				_, _, err := db.Images().StartCopy(ctx, image.Image{ID: "ami-copy-" + account, Account: account, Region: region, Name: "c"}, nil, 9)
				return err
			},
			"a key": func(account string) error {
				return db.KMS().CreateKey(ctx, kms.Key{Ref: kms.Ref{Account: account, Region: region, ID: "key-" + account}, Wrapped: []byte{1}}, kms.Alias{})
			},
			"a user": func(account string) error {
				return db.IAM().CreateUser(ctx, iam.UserInfo{Account: account, Name: "u", Path: "/", ID: "AIDA" + account}, 9)
			},
		} {
			if err := add("a"); !errors.Is(err, iam.ErrRemoved) {
				t.Errorf("%s: got %v, want ErrRemoved", what, err)
			}
			if d := cmp.Diff(before, dump(t, db)); d != "" {
				t.Errorf("%s left something (-before +after):\n%s", what, d)
			}
			if err := add("b"); err != nil {
				t.Errorf("%s of an account that is there: %v", what, err)
			}
			before = dump(t, db)
		}
	})
}
