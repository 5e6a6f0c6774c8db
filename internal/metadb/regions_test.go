package metadb

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/diskimage/imagetest"
	"github.com/diskport/diskport/internal/awsid"
)

// TestRowsOfBeforeAreInRegions migrates a database in which regions were not told
// apart.
func TestRowsOfBeforeAreInRegions(t *testing.T) {
	imagetest.Volume(t)
	onEngines(t, func(t *testing.T, fresh func(*testing.T) *DB) {
		db := fresh(t)
		p, err := db.provider()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.DownTo(t.Context(), 19); err != nil {
			t.Fatal(err)
		}
		const arn, id = "arn:aws:kms:eu-west-1:111122223333:key/", "12345678-1234-1234-1234-123456789012"
		old := []string{
			`INSERT INTO tasks (id, account, region, token, digest, description, disk_description, format, role_name, bucket, object_key, pin, source_bytes,
				state, phase, failure, snapshot, ranges, ranges_left, counts, virtual_bytes, warnings, created, started, ended)
			VALUES ('import-snap-1', 'a', 'sa-east-1', 't', '', '', '', '', '', '', '', '', 0, 'completed', '', '{}', 'snap-1', '[]', 0, '{}', 0, '[]', 1, 1, 1),
				('import-snap-2', 'a', 'cn-north-1', NULL, '', '', '', '', '', '', '', '', 0, 'completed', '', '{}', 'snap-2', '[]', 0, '{}', 0, '[]', 1, 1, 1),
				('import-snap-3', 'a', '', 'u', '', '', '', '', '', '', '', '', 0, 'completed', '', '{}', 'snap-3', '[]', 0, '{}', 0, '[]', 1, 1, 1)`,
			`INSERT INTO domains (id, account, kms_key, wrapped) VALUES ('dom-1', 'a', '` + arn + id + `', ''),
				('dom-2', 'b', '` + strings.ReplaceAll(strings.ReplaceAll(arn, "eu-west-1", "cn-north-1"), ":aws:", ":aws-cn:") + id + `', '')`,
			`INSERT INTO snapshots (id, account, domain, task, description, state, volume_gib, virtual_bytes, progress, started, completed, root, blocks, stored)
			VALUES ('snap-1', 'a', '', 'import-snap-1', '', 'completed', 1, 1, 100, 1, 1, 1, 0, 0), ('snap-2', 'a', '', 'import-snap-2', '', 'completed', 1, 1, 100, 1, 1, 1, 0, 0),
				('snap-3', 'a', 'dom-1', 'import-snap-3', '', 'completed', 1, 1, 100, 1, 1, 1, 0, 0), ('snap-4', 'a', '', 'forgotten', '', 'completed', 1, 1, 100, 1, 1, 1, 0, 0),
				('snap-5', 'b', 'dom-2', '', '', 'completed', 1, 1, 100, 1, 1, 1, 0, 0)`,
			`INSERT INTO snapshot_shares (snapshot, grantee, started) VALUES ('snap-3', 'b', 1), ('snap-4', 'b', 1)`,
			`INSERT INTO images (id, account, name, body, created) VALUES ('ami-1', 'a', 'n', '{}', 1), ('ami-2', 'a', 'm', '{}', 1)`,
			`INSERT INTO image_snapshots (snapshot, image) VALUES ('snap-3', 'ami-1')`,
			`INSERT INTO tags (resource, name, value, account) VALUES ('import-snap-1', 'k', '', 'a'), ('snap-3', 'k', '', 'a'), ('ami-1', 'k', '', 'a'), ('ami-2', 'k', '', 'a')`,
		}
		run := func(statements ...string) {
			must(t, db, func(q querier) error {
				for _, stmt := range statements {
					if _, err := exec(t.Context(), q, stmt); err != nil {
						return err
					}
				}
				return nil
			})
		}
		run(old...)
		unsaid := *db
		unsaid.regions = awsid.Regions{}
		if p, err := unsaid.provider(); err != nil {
			t.Fatal(err)
		} else if _, err := p.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "which regions") {
			t.Errorf("without regions: got %v", err)
		}
		if _, err := p.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for table, column := range map[string]string{"tasks": "id", "snapshots": "id", "snapshot_shares": "snapshot", "images": "id", "tags": "resource"} {
			must(t, db, func(q querier) (err error) {
				got[table], err = all(t.Context(), q, func(s scanner) (string, error) {
					var id, region string
					err := s.Scan(&id, &region)
					return id + " " + region, err
				}, `SELECT `+column+`, region FROM `+table+` ORDER BY 1`)
				return err
			})
		}
		want := map[string][]string{
			"tasks":           {"import-snap-1 sa-east-1", "import-snap-2 us-east-1", "import-snap-3 eu-west-1"},
			"snapshots":       {"snap-1 sa-east-1", "snap-2 us-east-1", "snap-3 eu-west-1", "snap-4 us-east-1", "snap-5 us-east-1"},
			"snapshot_shares": {"snap-3 eu-west-1", "snap-4 us-east-1"},
			"images":          {"ami-1 eu-west-1", "ami-2 us-east-1"},
			"tags":            {"ami-1 eu-west-1", "ami-2 us-east-1", "import-snap-1 sa-east-1", "snap-3 eu-west-1"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// Back, although by now a name and a token are there in two regions.
		run(`INSERT INTO images (id, account, region, name, body, created) VALUES ('ami-3', 'a', 'us-east-1', 'n', '{}', 1)`,
			`UPDATE tasks SET token = 't' WHERE id = 'import-snap-2'`, `UPDATE snapshots SET token = 't' WHERE account = 'a' AND id IN ('snap-3', 'snap-4')`)
		if _, err := p.DownTo(t.Context(), 19); err != nil {
			t.Error(err)
		}
	})
}

func TestResourcesInRegionsThatAreNotPlayed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metadata.db")
	db, err := Open(t.Context(), path, Options{Regions: played(t, region)})
	if err != nil {
		t.Fatal(err)
	}
	must(t, db, func(q querier) error {
		_, err := exec(t.Context(), q, `INSERT INTO images (id, account, region, name, body, created) VALUES ('ami-1', 'a', 'us-east-1', 'n', '{}', 1)`)
		return err
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for own, want := range map[string]int{region: 0, "local-1": 1} {
		var warned []string
		db, err := Open(t.Context(), path, Options{Regions: played(t, own), Warn: func(s string) { warned = append(warned, s) }})
		if err != nil {
			t.Fatal(err)
		}
		if len(warned) != want || want > 0 && !strings.Contains(warned[0], "in us-east-1, which") {
			t.Errorf("as %s it warns %q, want %d warnings", own, warned, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func played(t *testing.T, own string) awsid.Regions {
	t.Helper()
	r, err := awsid.NewRegions(own, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
