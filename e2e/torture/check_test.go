package torture

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskport/diskport/internal/client"
)

// patience is how long what must come may take: only a service that hangs takes longer.
const patience = 10 * time.Minute

// settle has everything that was begun come to its end, and checks the world: contents,
// lists, then, once the service has ended, files and rows.
func (c caller) settle(t *testing.T) {
	t.Helper()
	c.rest(t)
	c.s.stop(t)
	c.compareFiles(t)
}

// rest is settle for a service that goes on.
func (c caller) rest(t *testing.T) {
	t.Helper()
	c.s.connect(retry.NewStandard()) // there is nothing that it must not ask for twice
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	c.ctx = ctx
	db := c.s.at.openCatalog(t)
	defer db.Close()
	quiet := func() error { return c.quiet(db) }
	all := []func() error{c.answerAll, c.endAll, c.deleteAgain, c.compareSnapshots, c.compareTasks, c.compareObjects, c.thin, quiet, c.collect, c.verify, quiet} // a cycle of gc that is cut off leaves candidates
	if !c.ready {
		all = []func() error{quiet, c.collect, c.verify, quiet}
	}
	for _, step := range all {
		if err := step(); err != nil {
			t.Errorf("settling: %v", err)
			break
		}
	}
	c.tally.settled++
}

// verify has the service read everything and compare it: packs, pages, roots and rows.
func (c caller) verify() error {
	done, err := c.s.VerifyStore(c.ctx, 0, client.Watching{Found: func(f client.Finding) { c.wrong("verify found: %s", f.Text) }})
	c.tally.files += done.Files
	return err
}

// unclaimed is a condition on units, that they are of a task and that nobody claims them: a
// duty forgets those once they have lapsed.
const unclaimed = `kind IN ('append', 'rewrite') AND owner = ''`

// quiet waits until the service has nothing to do, not even the duties that begin as it
// starts, and objects are swept. When it ends they stop anywhere.
func (c caller) quiet(db *sql.DB) error {
	for {
		var busy int
		err := db.QueryRowContext(c.ctx, `SELECT (SELECT COUNT(*) FROM units WHERE owner <> '' OR task <> '' AND NOT (`+unclaimed+`)) +
			(SELECT COUNT(*) FROM s3_pieces WHERE refs = 0 AND NOT (`+c.unused()+`))`).Scan(&busy)
		if err != nil || busy == 0 {
			return err
		}
		select {
		case <-c.ctx.Done():
			return errors.New("the service does not come to rest")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// unused is a condition on pieces, that they are numbers that the service keeps for what is
// put next. One that has only just been started keeps none.
func (w *world) unused() string {
	if w.fills {
		return `writer <> 0`
	}
	return `1 = 0`
}

// answerAll asks again for what was not answered, and for some of what was.
func (c caller) answerAll() error {
	for _, i := range c.imports {
		if i.id == "" || !i.ended || c.rng.IntN(len(c.imports)) < 5 {
			if err := c.ask(i); err != nil {
				return err
			}
		}
	}
	for _, d := range c.drafts {
		if d.ended {
			continue
		}
		if err := c.startDraft(d); err != nil {
			return err
		}
		if d.ended {
			continue
		}
		for !d.complete && len(d.blocks) == 0 {
			if err := c.putBlock(d, 7); err != nil {
				return err
			}
		}
		err := c.completeDraft(d)
		if isCode(err, "ValidationException") { // if it is complete, it ends as such
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return c.findCopies()
}

// findCopies looks for copies that were not answered: they exist or they don't.
func (c caller) findCopies() error {
	all, err := c.s.Snapshots(c.ctx)
	if err != nil {
		return err
	}
	for _, y := range c.copies {
		for _, sn := range all {
			if sn.Description == y.description && y.id == "" {
				y.id = sn.ID
			}
		}
	}
	c.copies = slices.DeleteFunc(c.copies, func(y *copying) bool { return y.id == "" })
	return nil
}

// endAll waits until everything has ended.
func (c caller) endAll() error {
	for {
		left := ""
		for _, i := range c.imports {
			if !i.ended {
				if err := c.seeImport(i); err != nil {
					return err
				}
				left = i.id
			}
		}
		for _, d := range c.drafts {
			if !d.ended {
				if err := c.seeDraft(d); err != nil {
					return err
				}
				left = d.id
			}
		}
		for _, y := range c.copies {
			if !y.ended {
				if err := c.seeCopy(y); err != nil {
					return err
				}
				left = y.id
			}
		}
		if left == "" || len(c.broken) > 0 {
			return nil
		}
		select {
		case <-c.ctx.Done():
			return fmt.Errorf("%s did not end", left)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// deleteAgain deletes what may be deleted already.
func (c caller) deleteAgain() error {
	for _, sn := range slices.Collect(maps.Values(c.snaps)) {
		if !sn.delete {
			continue
		}
		err := c.delete(sn)
		if isCode(err, "InvalidSnapshot.NotFound") {
			delete(c.snaps, sn.id)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compareSnapshots compares the list of snapshots with the world, and what is in them.
func (c caller) compareSnapshots() error {
	all, err := c.s.Snapshots(c.ctx)
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for _, sn := range all {
		listed[sn.ID] = true
		if _, ok := c.snaps[sn.ID]; !ok {
			c.wrong("snapshot %s (%s, %q) is of no request", sn.ID, sn.State, sn.Description)
		}
	}
	for id, sn := range c.snaps {
		sn.busy = false
		if !listed[id] {
			c.wrong("snapshot %s is gone", id)
			continue
		}
		if err := c.compareBlocks(sn); err != nil {
			c.wrong("%v", err)
		}
	}
	return nil
}

func (c caller) compareBlocks(sn *snap) error {
	var mu sync.Mutex // guards found
	found := content{}
	if err := c.s.EachBlock(c.ctx, sn.id, func(i int64, data []byte) error {
		sum := sha256.Sum256(data)
		mu.Lock()
		defer mu.Unlock()
		found[i] = sum
		return nil
	}); err != nil {
		return err
	}
	c.tally.snapshots++
	c.tally.blocks += int64(len(found))
	if !maps.Equal(found, sn.blocks) {
		return fmt.Errorf("snapshot %s has blocks %v, want %v, or they differ", sn.id, sortedKeys(found), sortedKeys(sn.blocks))
	}
	return nil
}

// compareTasks compares the lists of tasks and of images with the world.
func (c caller) compareTasks() error {
	tasks, err := c.s.Tasks(c.ctx)
	if err != nil {
		return err
	}
	machines, err := c.s.ImageTasks(c.ctx)
	if err != nil {
		return err
	}
	known, listed, images := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, i := range c.imports {
		known[i.id] = true
	}
	for _, task := range tasks {
		listed[task.ID] = true
	}
	for _, task := range machines {
		listed[task.ID] = true
		if task.ImageID != "" {
			images[task.ImageID] = true
		}
	}
	c.tally.tasks += int64(len(listed))
	if !maps.Equal(known, listed) {
		c.wrong("tasks %v were answered, %v are listed", slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(listed)))
	}
	out, err := c.s.ec2.DescribeImages(c.ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}})
	if err != nil {
		return err
	}
	for _, image := range out.Images {
		if !images[*image.ImageId] {
			c.wrong("image %s is of no task", *image.ImageId)
		}
		for _, d := range image.BlockDeviceMappings {
			if _, ok := c.snaps[*d.Ebs.SnapshotId]; !ok {
				c.wrong("image %s names snapshot %s, which is gone", *image.ImageId, *d.Ebs.SnapshotId)
			}
		}
	}
	return c.deregister()
}

// deregister lets go of images, so that their snapshots can be deleted.
func (c caller) deregister() error {
	gone := map[string]bool{}
	for _, sn := range c.snaps {
		if sn.image == "" {
			continue
		}
		if !gone[sn.image] {
			if _, err := c.s.ec2.DeregisterImage(c.ctx, &ec2.DeregisterImageInput{ImageId: &sn.image}); err != nil {
				return err
			}
			gone[sn.image] = true
		}
		sn.image = ""
	}
	return nil
}

// most is how many snapshots are left to the next lives.
const most = 30

// thin deletes all snapshots but some.
func (c caller) thin() error {
	for _, sn := range slices.Collect(maps.Values(c.snaps)) {
		if len(c.snaps) <= most {
			break
		}
		if err := c.delete(sn); err != nil {
			return err
		}
	}
	return nil
}

// compareObjects reads all objects, and aborts uploads that were not completed.
func (c caller) compareObjects() error {
	bucket := aws.String("things")
	for key, o := range c.objects {
		found := ""
		out, err := c.s.s3.GetObject(c.ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key})
		switch {
		case isCode(err, "NoSuchKey"):
		case err != nil:
			return err
		default:
			data, err := io.ReadAll(out.Body)
			if err := errors.Join(err, out.Body.Close()); err != nil {
				return err
			}
			found = digestOf(data)
		}
		c.tally.objects++
		if !slices.Contains(o.may, found) {
			c.wrong("object %s is %q, want one of %q", key, found, o.may)
		}
		o.busy, o.may = false, []string{found}
	}
	ups, err := c.s.s3.ListMultipartUploads(c.ctx, &s3.ListMultipartUploadsInput{Bucket: bucket})
	if err != nil {
		return err
	}
	for _, u := range ups.Uploads {
		if _, err := c.s.s3.AbortMultipartUpload(c.ctx, &s3.AbortMultipartUploadInput{Bucket: bucket, Key: u.Key, UploadId: u.UploadId}); err != nil {
			return err
		}
	}
	return nil
}

// compareFiles compares the files of the store with the rows of a service that has ended, and
// looks for rows that were left behind.
func (c caller) compareFiles(t *testing.T) {
	t.Helper()
	db := c.s.at.openCatalog(t)
	defer db.Close()
	text := func(query string) []string {
		rows, err := db.QueryContext(t.Context(), c.s.at.dialect(query))
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		defer rows.Close()
		list := []string{}
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
		slices.Sort(list)
		return list
	}
	want := named(t, text(`SELECT id || ' ' || kind || ' ' || bytes || CASE state WHEN 'closed' THEN '' ELSE ' ' || state END FROM files`))
	if d := cmp.Diff(want, c.s.at.files(t)); d != "" {
		t.Errorf("files of blocks (-catalog +store):\n%s", d)
	}
	if got := files(t, filepath.Join(c.s.at.data, "scratch")); len(got) > 0 {
		t.Errorf("in scratch lie %q", got)
	}
	for what, query := range map[string]string{
		"units":               `SELECT kind || ' of ' || task FROM units WHERE task <> '' AND NOT (` + unclaimed + `)`,
		"leases":              `SELECT kind FROM units WHERE owner <> ''`,
		"pins of tasks":       `SELECT id FROM tasks WHERE pin <> ''`,
		"pins of objects":     `SELECT id FROM s3_pins`,
		"holds":               `SELECT why FROM holds`,
		"drafts":              `SELECT snapshot FROM drafts`,
		"blocks of drafts":    `SELECT snapshot FROM draft_blocks`,
		"pages of ranges":     `SELECT snapshot FROM range_pages`,
		"candidates of gc":    `SELECT 'page' FROM page_candidates UNION ALL SELECT 'block' FROM block_candidates UNION ALL SELECT 'file ' || file FROM file_candidates`,
		"condemned blocks":    `SELECT hex(id) FROM blocks WHERE condemned <> 0`,
		"damaged blocks":      `SELECT hex(id) FROM blocks WHERE damaged <> 0`,
		"blocks without file": `SELECT hex(id) FROM blocks WHERE file NOT IN (SELECT id FROM files)`,
		"pages without file":  `SELECT hex(id) FROM pages WHERE file NOT IN (SELECT id FROM files)`,
		"wrong counts of use": `SELECT id FROM s3_contents c WHERE refs <> (SELECT COUNT(*) FROM s3_objects o WHERE o.content = c.id) + (SELECT COUNT(*) FROM s3_parts p WHERE p.content = c.id)`,
		"unused contents":     `SELECT id FROM s3_contents WHERE refs = 0`,
		"wrong sums of usage": `SELECT account FROM s3_usage u WHERE bytes <> (SELECT COALESCE(SUM(o.size), 0) FROM s3_objects o JOIN s3_buckets b ON b.id = o.bucket WHERE b.account = u.account)`,
		"events told twice":   `SELECT kind || ' of ' || resource FROM outbox WHERE kind NOT IN ('snapshot.shared', 'snapshot.unshared', 'disk.nearly-full', 'disk.has-room') GROUP BY kind, resource HAVING COUNT(*) > 1`,
		"ends untold":         `SELECT id FROM tasks t WHERE image_task = '' AND ended <> 0 AND (SELECT COUNT(*) FROM outbox o WHERE o.resource = t.id AND o.kind LIKE 'import.%') <> 1`,
		"pending snapshots":   `SELECT id FROM snapshots WHERE state <> 'completed'`,
		"uses by images":      `SELECT image FROM image_snapshots WHERE image NOT IN (SELECT id FROM images) OR snapshot NOT IN (SELECT id FROM snapshots)`,
		"extents of nothing":  `SELECT 'content ' || content FROM s3_extents WHERE content NOT IN (SELECT id FROM s3_contents) UNION ALL SELECT 'content ' || content FROM s3_content_parts WHERE content NOT IN (SELECT id FROM s3_contents)`,
		"parts of nothing":    `SELECT upload || ' ' || number FROM s3_parts WHERE upload NOT IN (SELECT id FROM s3_uploads)`,
		"wrong uses of piece": `SELECT 'piece ' || id FROM s3_pieces p WHERE refs <> (SELECT COUNT(*) FROM s3_extents e WHERE e.piece = p.id)`,
	} {
		if left := text(query); len(left) > 0 {
			t.Errorf("left behind are %s: %q", what, left)
		}
	}
	c.compareStored(t, text)
	if c.s.at.shared == nil {
		c.comparePieces(t, text)
	}
}

// named makes names of files of rows that begin with their number and kind.
func named(t *testing.T, rows []string) (list []string) {
	t.Helper()
	list = []string{}
	for _, row := range rows {
		number, rest, _ := strings.Cut(row, " ")
		kind, rest, _ := strings.Cut(rest, " ")
		id, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s/%02x/%016x %s", kind, id%256, id, rest))
	}
	slices.Sort(list)
	return list
}

// compareStored compares the rows of blocks and pages with those that snapshots have: what no
// snapshot has was let go of, however it came to be.
func (c caller) compareStored(t *testing.T, text func(string) []string) {
	t.Helper()
	blocks, pages := map[string]map[[sha256.Size]byte]bool{}, map[string]bool{}
	for _, row := range text(`SELECT id || ' ' || domain FROM snapshots`) {
		id, domain, _ := strings.Cut(row, " ")
		sn := c.snaps[id]
		if sn == nil {
			continue // that is a complaint already
		}
		if blocks[domain] == nil {
			blocks[domain] = map[[sha256.Size]byte]bool{}
		}
		page := map[int64]string{}
		for _, i := range sortedKeys(sn.blocks) {
			blocks[domain][sn.blocks[i]] = true
			page[i/pageBlocks] += fmt.Sprintf(" %d:%x", i%pageBlocks, sn.blocks[i])
		}
		for _, content := range page {
			pages[domain+content] = true
		}
	}
	want := []string{fmt.Sprintf("%d pages", len(pages))}
	for domain, some := range blocks {
		if len(some) > 0 {
			want = append(want, fmt.Sprintf("%d blocks of %s", len(some), domain))
		}
	}
	slices.Sort(want)
	got := text(`SELECT COUNT(*) || ' pages' FROM pages UNION ALL
		SELECT COUNT(*) || ' blocks of ' || f.domain FROM blocks b JOIN files f ON f.id = b.file GROUP BY f.domain`)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("what is stored (-snapshots +rows):\n%s", d)
	}
}

// pageBlocks is how many blocks a page of a manifest is about.
const pageBlocks = 1024

// comparePieces compares the files of objects with their rows.
func (c caller) comparePieces(t *testing.T, text func(string) []string) {
	t.Helper()
	var found []string
	for _, f := range files(t, filepath.Join(c.s.at.data, "objects")) {
		name, _, _ := strings.Cut(f, " ")
		found = append(found, name)
	}
	want := text(`SELECT printf('%02x/%016x', id % 256, id) FROM s3_pieces WHERE NOT (refs = 0 AND ` + c.unused() + `)`)
	if d := cmp.Diff(want, found, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("files of objects (-rows +disk):\n%s", d)
	}
	if left := text(`SELECT DISTINCT piece FROM s3_extents WHERE piece NOT IN (SELECT id FROM s3_pieces)`); len(left) > 0 {
		t.Errorf("without a row are pieces %q", left)
	}
}

// files lists the files below a folder with their sizes, but not those that say whose
// store it is.
func files(t *testing.T, root string) (list []string) {
	t.Helper()
	list = []string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == root {
			return nil
		}
		if err != nil || e.IsDir() || e.Name() == "identity" {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		list = append(list, fmt.Sprintf("%s %d", strings.TrimSuffix(name, ".open"), st.Size())+strings.Repeat(" open", strings.Count(name, ".open")))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// keepData leaves a data directory for whoever looks into a failure.
func keepData(t *testing.T, data string) {
	if !t.Failed() || *keep == "" {
		return
	}
	if err := os.CopyFS(filepath.Join(*keep, fmt.Sprintf("seed-%d", *seed), t.Name()), os.DirFS(data)); err != nil {
		t.Logf("keeping %s: %v", data, err)
	}
}
