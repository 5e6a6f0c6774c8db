package metadb

import (
	"strings"
	"testing"

	"github.com/diskport/diskport/internal/imports/objects"
)

// TestListsWalkAlongTheIndex: PostgreSQL knows nothing yet about a bucket that has just
// been filled. It must not come to read all of it for a page.
func TestListsWalkAlongTheIndex(t *testing.T) {
	db := open(t, postgres.New(t))
	must(t, db, func(q querier) error {
		_, err := exec(t.Context(), q, `INSERT INTO s3_buckets (id, name, account, region, versioning, created) VALUES (1, 'b', 'a', '', '', 0)`)
		if err != nil {
			return err
		}
		_, err = exec(t.Context(), q, `
			INSERT INTO s3_objects (bucket, `+objectColumns+`, metadata, tags)
			SELECT 1, convert_to(i / 10 || '/' || i, 'UTF8'), 1, 'null', 1, 0, 1, 1, '', 0, '', 0, '{}', '[]'
			FROM generate_series(1, 20000) i`)
		return err
	})
	s := db.Objects()
	for name, r := range map[string]objects.KeyRange{
		"all":      {},
		"prefix":   {Prefix: "1"},
		"middle":   {After: "1000/10000"},
		"folded":   {Delimiter: "/"},
		"in a run": {Delimiter: "/", Prefix: "1", First: "1500"},
	} {
		r.Limit = 1001
		stmt, order := query{from: `SELECT ` + objectColumns + ` FROM s3_objects`}.and(`bucket = ?`, 1).keys(r).and(`latest = 1`).and(`marker = 0`), ` ORDER BY key`
		if r.Delimiter != "" {
			stmt, order = s.walk(1, r), "" // of what it has found
		}
		err := db.view(t.Context(), "explain", func(q querier) error {
			plan, err := all(t.Context(), q, func(s scanner) (line string, err error) { return line, s.Scan(&line) },
				`EXPLAIN `+stmt.text()+order+atMost(r.Limit), stmt.args...)
			text := strings.Join(plan, "\n")
			for _, wrong := range []string{"Seq Scan", "Bitmap", "Sort", "Hash"} {
				if strings.Contains(text, wrong) {
					t.Errorf("%s: a %s in the plan:\n%s", name, wrong, text)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestOneLowerBound: of two, SQLite walks from the first in the text, and throws away
// all that lies between them.
func TestOneLowerBound(t *testing.T) {
	for _, c := range []struct {
		name string
		r    objects.KeyRange
		want string
	}{
		{"all", objects.KeyRange{}, "key >= ? \x00"},
		{"prefix", objects.KeyRange{Prefix: "p"}, "key >= ? p"},
		{"a later first", objects.KeyRange{Prefix: "p", First: "pq"}, "key >= ? pq"},
		{"after one", objects.KeyRange{Prefix: "p", After: "pr"}, "key > ? pr"},
		{"after all before the prefix", objects.KeyRange{Prefix: "p", After: "a"}, "key >= ? p"},
		{"after the prefix itself", objects.KeyRange{Prefix: "p", After: "p"}, "key > ? p"},
		{"at an item", objects.KeyRange{Prefix: "p", After: "pr", AfterItem: "v"}, "key >= ? pr"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			q := query{}.keys(c.r)
			for i, condition := range q.where {
				if strings.Contains(condition, ">") {
					key, _ := q.args[i].([]byte)
					got = append(got, condition+" "+string(key))
				}
			}
			if want := strings.Replace(c.want, "?", "$1", 1); len(got) != 1 || got[0] != want {
				t.Errorf("the lower bounds are %q, not %q", got, want)
			}
		})
	}
}
