package metadb

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/secret"
	"github.com/diskport/diskport/internal/imports/importtask"
)

// TestKept: each sort of secrets at rest is listed in pages, whole, and replaced unless it
// has changed.
func TestKept(t *testing.T) {
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db, ctx := fresh(t), t.Context()
		for _, id := range []string{"AKIA2", "AKIA1", "AKIA3"} {
			check(t, db.IAM().AddAccount(ctx, iam.AccessKey{ID: id, Account: "00000000000" + id[4:], Wrapped: []byte(id)}))
		}
		for _, r := range []kms.Ref{{Account: "1", Region: "eu", ID: "b"}, {Account: "1", Region: "eu", ID: "a"}, {Account: "1", Region: "ap", ID: "z"}, {Account: "0", Region: "us", ID: "c"}} {
			check(t, db.KMS().CreateKey(ctx, kms.Key{Ref: r, Wrapped: []byte(r.ID)}, kms.Alias{}))
		}
		check(t, db.KMS().CreateKey(ctx, kms.Key{Ref: kms.Ref{Account: "1", Region: "eu", ID: "none"}}, kms.Alias{}))
		for id, url := range map[string][]byte{"task-1": []byte("u1"), "task-2": nil, "task-3": []byte("u3")} {
			_, _, err := db.Tasks().Create(ctx, importtask.Task{ID: id, Account: "a", Region: region, WrappedURL: url}, 10)
			check(t, err)
		}
		for _, name := range []string{"page key", "something else", "token key"} {
			_, err := db.Secret(ctx, name, func() ([]byte, error) { return []byte(name), nil })
			check(t, err)
		}
		for _, c := range []struct {
			name  string
			shelf Kept
			want  []secret.Kept
		}{
			{"access keys", db.KeptKeys(), []secret.Kept{
				{Owner: []string{"000000000001", "AKIA1"}, Wrapped: []byte("AKIA1")},
				{Owner: []string{"000000000002", "AKIA2"}, Wrapped: []byte("AKIA2")},
				{Owner: []string{"000000000003", "AKIA3"}, Wrapped: []byte("AKIA3")},
			}},
			{"material", db.KeptMaterial(), []secret.Kept{
				{Owner: []string{"0", "us", "c"}, Wrapped: []byte("c")}, {Owner: []string{"1", "ap", "z"}, Wrapped: []byte("z")},
				{Owner: []string{"1", "eu", "a"}, Wrapped: []byte("a")}, {Owner: []string{"1", "eu", "b"}, Wrapped: []byte("b")},
			}},
			{"Urls", db.KeptURLs(), []secret.Kept{{Owner: []string{"task-1"}, Wrapped: []byte("u1")}, {Owner: []string{"task-3"}, Wrapped: []byte("u3")}}},
			{"secrets", db.KeptSecrets("page key", "token key"), []secret.Kept{
				{Owner: []string{"page key"}, Wrapped: []byte("page key")}, {Owner: []string{"token key"}, Wrapped: []byte("token key")},
			}},
		} {
			kept(t, c.name, c.shelf, c.want)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// kept checks a shelf that has these secrets.
func kept(t *testing.T, name string, s Kept, want []secret.Kept) {
	t.Helper()
	list := func(limit int) (all []secret.Kept) {
		var after []string
		for {
			some, err := s.Kept(t.Context(), after, limit)
			check(t, err)
			all = append(all, some...)
			if len(some) < limit {
				return all
			}
			after = some[len(some)-1].Owner
		}
	}
	for _, limit := range []int{1, 2, 100} {
		if diff := cmp.Diff(want, list(limit)); diff != "" {
			t.Errorf("%s, %d at a time (-want +got):\n%s", name, limit, diff)
		}
	}
	stale := secret.Kept{Owner: want[0].Owner, Wrapped: []byte("another")}
	gone := secret.Kept{Owner: slices.Repeat([]string{"gone"}, len(want[0].Owner)), Wrapped: want[0].Wrapped}
	check(t, s.Replace(t.Context(), stale, []byte("lost")))
	check(t, s.Replace(t.Context(), gone, []byte("lost")))
	check(t, s.Replace(t.Context(), want[1], []byte("new")))
	want = slices.Clone(want)
	want[1].Wrapped = []byte("new")
	for i, k := range list(10) {
		if !bytes.Equal(k.Wrapped, want[i].Wrapped) {
			t.Errorf("%s: that of %v became %q, want %q", name, k.Owner, k.Wrapped, want[i].Wrapped)
		}
	}
}
