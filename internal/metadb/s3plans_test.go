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
