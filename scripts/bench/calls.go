package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the database of a service, to fill it
)

// callsEach is how often each call is made.
const callsEach = 20

// calls calls fn again and again, and returns the median, in ms, of the times that it says.
func calls(fn func() (time.Duration, error)) (float64, error) {
	var all []float64
	for range callsEach {
		d, err := fn()
		if err != nil {
			return 0, err
		}
		all = append(all, d.Seconds()*1e3)
	}
	return middle(all), nil
}

// listBlocks reads the first and the last full page of lists of a small disk and of one as
// large as disks get.
func (b *bench) listBlocks(ctx context.Context) (r result, err error) {
	data := b.beside("service")
	if err := os.RemoveAll(data); err != nil {
		return r, err
	}
	snapshots := map[string]string{}
	for _, name := range []string{"pages.small.qcow2", "pages.small.2.qcow2", "pages.large.qcow2", "pages.large.2.qcow2"} {
		ours, err := b.imports(ctx, name, "disk.raw")
		if err != nil {
			return r, err
		}
		ours.data = data
		if _, err := ours.run(ctx); err != nil {
			return r, err
		}
		snapshots[name] = ours.last.SnapshotID
	}
	s, err := b.serveOn(ctx, data)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	a := s.api()
	defer a.http.CloseIdleConnections()
	small, large := snapshots["pages.small.qcow2"], snapshots["pages.large.qcow2"]
	const last = 64<<40/blockSize - pageBlocks
	pages := []struct{ name, path string }{
		{"blocks, 6 GiB", "/snapshots/" + small + "/blocks?maxResults=10000"},
		{"blocks, 64 TiB, first", "/snapshots/" + large + "/blocks?maxResults=10000"},
		{"blocks, 64 TiB, last", fmt.Sprintf("/snapshots/%s/blocks?maxResults=10000&startingBlockIndex=%d", large, last)},
		{"changed, 6 GiB", "/snapshots/" + snapshots["pages.small.2.qcow2"] + "/changedblocks?maxResults=10000&firstSnapshotId=" + small},
		{"changed, 64 TiB, first", "/snapshots/" + snapshots["pages.large.2.qcow2"] + "/changedblocks?maxResults=10000&firstSnapshotId=" + large},
		{"changed, 64 TiB, last", fmt.Sprintf("/snapshots/%s/changedblocks?maxResults=10000&firstSnapshotId=%s&startingBlockIndex=%d", snapshots["pages.large.2.qcow2"], large, last)},
	}
	took := make([]float64, len(pages))
	for i, p := range pages {
		took[i], err = calls(func() (time.Duration, error) { return a.page(ctx, p.path) })
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
		r.set(quantity{p.name, "ms", true}, took[i])
		r.set(listPage, max(r.values[listPage], took[i]))
	}
	for _, i := range []int{0, 3} {
		r.set(listGrowth, max(r.values[listGrowth], took[i+1]/took[i], took[i+2]/took[i]))
	}
	return r, nil
}

// page reads a page of a list, which must be full.
func (a *api) page(ctx context.Context, path string) (time.Duration, error) {
	begun := time.Now()
	text, err := a.ebs(ctx, http.MethodGet, path, "")
	took := time.Since(begun)
	if err != nil {
		return 0, err
	}
	var page blockList
	if err := json.Unmarshal(text, &page); err != nil {
		return 0, err
	}
	if n := len(page.Blocks) + len(page.ChangedBlocks); n != pageBlocks {
		return 0, fmt.Errorf("the page has %d blocks", n)
	}
	return took, nil
}

// describeMany is how many tasks and snapshots there are, and describePages how many pages
// of 100 are read.
const (
	describeMany  = 100_000
	describePages = 20
)

// describe reads pages of tasks and snapshots.
func (b *bench) describe(ctx context.Context) (r result, err error) {
	ours, err := b.imports(ctx, "small.raw", "small.raw", "--tag", "Name=disk", "--tag", "team=storage")
	if err != nil {
		return r, err
	}
	ours.data = b.beside("service")
	if err := os.RemoveAll(ours.data); err != nil {
		return r, err
	}
	if _, err := ours.run(ctx); err != nil {
		return r, err
	}
	if err := multiply(ctx, filepath.Join(ours.data, "metadata.db"), describeMany); err != nil {
		return r, fmt.Errorf("filling the database: %w", err)
	}
	s, err := b.serveOn(ctx, ours.data)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	a := s.api()
	defer a.http.CloseIdleConnections()
	for _, action := range []string{"DescribeSnapshots", "DescribeImportSnapshotTasks"} {
		ms, err := a.describePages(ctx, action)
		if err != nil {
			return r, fmt.Errorf("%s: %w", action, err)
		}
		r.set(quantity{action, "ms", true}, ms)
		r.set(describe100, max(r.values[describe100], ms))
	}
	return r, nil
}

// described is what is read of an answer to a Describe call.
type described struct {
	NextToken string     `xml:"nextToken"`
	Snapshots []struct{} `xml:"snapshotSet>item"`
	Tasks     []struct{} `xml:"importSnapshotTaskSet>item"`
}

// describePages returns the median of the pages of a list, in ms.
func (a *api) describePages(ctx context.Context, action string) (float64, error) {
	var took []float64
	token := ""
	for range describePages {
		params := url.Values{"MaxResults": {"100"}}
		if token != "" {
			params.Set("NextToken", token)
		}
		begun := time.Now()
		text, err := a.query(ctx, action, params)
		took = append(took, time.Since(begun).Seconds()*1e3)
		if err != nil {
			return 0, err
		}
		var page described
		if err := xml.Unmarshal(text, &page); err != nil {
			return 0, err
		}
		if n := len(page.Snapshots) + len(page.Tasks); n != 100 || page.NextToken == "" {
			return 0, fmt.Errorf("a page of %d, and %q", n, page.NextToken)
		}
		token = page.NextToken
	}
	return middle(took), nil
}

// multiply copies the only task, snapshot and tags of a database, with other ids and later
// times, until there are n. It knows no column but those that must differ.
func multiply(ctx context.Context, path string, n int) (err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var task, snapshot string
	if err := db.QueryRowContext(ctx, "SELECT id, snapshot FROM tasks").Scan(&task, &snapshot); err != nil {
		return err
	}
	newID := func(column string) string {
		return "CASE WHEN " + column + " LIKE 'import-%' THEN 'import-snap-' ELSE 'snap-' END || printf('%017x', i.n)"
	}
	for table, differ := range map[string]map[string]string{
		"tasks":     {"id": newID("id"), "snapshot": newID("snapshot"), "token": "NULL", "created": "created + i.n", "started": "started + i.n", "ended": "ended + i.n"},
		"snapshots": {"id": newID("id"), "task": newID("task"), "token": "NULL", "started": "started + i.n", "completed": "completed + i.n"},
		"tags":      {"resource": newID("resource")},
	} {
		columns, err := columnsOf(ctx, db, table)
		if err != nil {
			return err
		}
		values := slices.Clone(columns)
		for i, c := range columns {
			if v, ok := differ[c]; ok {
				values[i] = v
			}
		}
		where := map[string]string{"tasks": "id = $1", "snapshots": "id = $2", "tags": "resource IN ($1, $2)"}[table]
		stmt := fmt.Sprintf("INSERT INTO %[1]s (%[2]s) WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < $3) SELECT %[3]s FROM %[1]s, i WHERE %[4]s",
			table, strings.Join(columns, ", "), strings.Join(values, ", "), where)
		if _, err := db.ExecContext(ctx, stmt, task, snapshot, n-1); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return nil
}

func columnsOf(ctx context.Context, db *sql.DB, table string) (names []string, err error) {
	rows, err := db.QueryContext(ctx, "SELECT name FROM pragma_table_info($1)", table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// deleteSnapshots deletes snapshots of the standard disk.
func (b *bench) deleteSnapshots(ctx context.Context) (r result, err error) {
	ours, err := b.stored(ctx, false)
	if err != nil {
		return r, err
	}
	snapshots := []string{ours.last.SnapshotID}
	for len(snapshots) < b.rounds {
		if _, err := ours.run(ctx); err != nil {
			return r, err
		}
		snapshots = append(snapshots, ours.last.SnapshotID)
	}
	s, err := b.serveOn(ctx, ours.data)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	a := s.api()
	defer a.http.CloseIdleConnections()
	var took []float64
	for _, id := range snapshots {
		begun := time.Now()
		if _, err := a.query(ctx, "DeleteSnapshot", url.Values{"SnapshotId": {id}}); err != nil {
			return r, err
		}
		took = append(took, time.Since(begun).Seconds()*1e3)
	}
	r.set(deleteOne, middle(took))
	return r, nil
}

// small imports images of 16 MiB, each with contents of its own: through the API, from the
// call to the answer that it is completed, and as a process of its own.
func (b *bench) small(ctx context.Context) (r result, err error) {
	s, err := b.serve(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ours, err := b.imports(ctx, "small.raw", "small.raw")
	if err != nil {
		return r, err
	}
	if err := s.shell(ctx, fmt.Sprintf("%q import %q", b.bin, ours.image)); err != nil { // makes the role and its bucket
		return r, err
	}
	image, err := os.ReadFile(ours.image)
	if err != nil {
		return r, err
	}
	a := s.api()
	defer a.http.CloseIdleConnections()
	var took []float64
	src := rand.NewChaCha8([32]byte{10, b.seed})
	for i := range b.rounds {
		for off := 0; off < len(image)/2; off += blockSize {
			_, _ = src.Read(image[off : off+8]) // never fails
		}
		key := fmt.Sprint("small-", i)
		if err := a.putObject(ctx, "diskport-import", key, image); err != nil {
			return r, err
		}
		d, err := a.importObject(ctx, "diskport-import", key)
		if err != nil {
			return r, err
		}
		took = append(took, d.Seconds())
	}
	r, err = b.compare(ctx, ours.side("diskport import"))
	if err != nil {
		return r, err
	}
	r.set(throughAPI, middle(took))
	r.set(asProcess, r.sides[0].Wall)
	return r, nil
}

func (a *api) putObject(ctx context.Context, bucket, key string, content []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, a.endpoint+"/"+bucket+"/"+key, bytes.NewReader(content))
	if err != nil {
		return err
	}
	resp, err := a.send(req, "s3", "UNSIGNED-PAYLOAD")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// importObject imports a raw disk and returns how long that took.
func (a *api) importObject(ctx context.Context, bucket, key string) (time.Duration, error) {
	begun := time.Now()
	text, err := a.query(ctx, "ImportSnapshot", url.Values{
		"RoleName": {"diskport-import"}, "DiskContainer.Format": {"RAW"},
		"DiskContainer.UserBucket.S3Bucket": {bucket}, "DiskContainer.UserBucket.S3Key": {key},
	})
	if err != nil {
		return 0, err
	}
	var task struct {
		ID string `xml:"importTaskId"`
	}
	if err := xml.Unmarshal(text, &task); err != nil {
		return 0, err
	}
	for {
		text, err := a.query(ctx, "DescribeImportSnapshotTasks", url.Values{"ImportTaskId.1": {task.ID}})
		if err != nil {
			return 0, err
		}
		switch {
		case bytes.Contains(text, []byte("<status>completed<")):
			return time.Since(begun), nil
		case bytes.Contains(text, []byte("<status>delet")):
			return 0, fmt.Errorf("the import failed: %s", text)
		}
	}
}
