package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/diskport/diskport/internal/client"
)

// settle has everything that was begun come to its end, on a cluster that nothing hurts any more,
// and checks what clients were told, what is stored, and what is left behind.
func (w *world) settle(t *testing.T, database string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	db, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	c := caller{world: w, ctx: ctx, rng: rand.New(rand.NewPCG(w.seed, 3000))}
	for _, step := range []func() error{c.answerAll, c.endAll, c.removeAgain, c.readAll, func() error { return c.quiet(db) }, c.clean, c.verify} {
		if err := step(); err != nil {
			t.Errorf("settling: %v", err)
			break
		}
	}
	c.seeSnapshots()
	c.seeTasks()
	w.check(t)
	t.Logf("%d calls were answered; imports: %d, drafts: %d, copies: %d, snapshots: %d; not answered, or with an error of the service, after all tries of the SDK: %v",
		w.calls, len(w.imports), len(w.drafts), len(w.copies), len(w.snaps), w.failed)
	if t.Failed() {
		return
	}
	for _, node := range w.cluster.Nodes {
		if err := node.Stop(); err != nil {
			t.Errorf("%s ended with %v", node.Name, err)
		}
	}
	c.compareRows(t, db)
	c.compareFiles(t, db)
}

// again makes a call until it is answered.
func (c caller) again(fn func() bool) error {
	return until(c.ctx, func() (bool, error) { return fn(), nil })
}

// answerAll asks again for what was not answered, and completes what is not complete.
func (c caller) answerAll() error {
	for _, i := range c.imports {
		if err := c.again(func() bool { c.askImport(i); return i.id != "" }); err != nil {
			return fmt.Errorf("asking for %s again: %w", i.token, err)
		}
	}
	for _, d := range c.drafts {
		if d.void || d.complete && c.completeSeen(d) {
			continue
		}
		if !d.complete {
			err := c.again(func() bool { return c.startDraft(d) || d.void })
			if err != nil || d.void {
				continue
			}
			if len(d.own) == 0 {
				_ = c.again(func() bool { return c.putBlock(d, 7) })
			}
		}
		if err := c.again(func() bool { return c.completeDraft(d) }); err != nil {
			return fmt.Errorf("completing %s (%s): %w", d.token, d.id, err)
		}
	}
	return nil
}

// completeSeen reports whether somebody saw a draft completed.
func (c caller) completeSeen(d *draft) bool { s := c.snaps[d.id]; return s != nil && s.completed }

// endAll waits until everything has ended.
func (c caller) endAll() error {
	for _, i := range c.imports {
		if err := c.again(func() bool { c.seeImport(i); return i.ended }); err != nil {
			return fmt.Errorf("the import of %s (%s): %w", i.image.key, i.id, err)
		}
	}
	c.seeSnapshots()
	for id, about := range c.of { // copies that were not answered
		for _, k := range c.copies {
			if k.description == about && c.snaps[id] == nil {
				c.see(id, k.content)
				c.made(id, k.from, c.now())
			}
		}
	}
	for _, s := range c.sorted() {
		if err := c.again(func() bool { c.lookAt(s); return s.completed || s.removed }); err != nil {
			return fmt.Errorf("snapshot %s is not completed: %w", s.id, err)
		}
	}
	return nil
}

func (w *world) sorted() (all []*snap) {
	for _, id := range slices.Sorted(maps.Keys(w.snaps)) {
		all = append(all, w.snaps[id])
	}
	return all
}

// removeAgain deletes what may be deleted already.
func (c caller) removeAgain() error {
	for _, s := range c.sorted() {
		if !s.removed {
			continue
		}
		c.removeSnapshot(s)
		c.lookAt(s)
	}
	return nil
}

// readAll reads every block of every snapshot.
func (c caller) readAll() error {
	for _, s := range c.sorted() {
		if !c.readSnapshot(s, len(s.content)) {
			return fmt.Errorf("snapshot %s could not be read", s.id)
		}
	}
	return nil
}

// unclaimed is a condition on units, that they are of a task and that nobody claims them: a
// duty forgets those once they have lapsed.
const unclaimed = `kind IN ('append', 'rewrite') AND owner = ''`

// quiet waits until no node has anything to do.
func (c caller) quiet(db *pgx.Conn) error {
	err := until(c.ctx, func() (bool, error) {
		var busy int
		err := db.QueryRow(c.ctx, `SELECT COUNT(*) FROM units WHERE owner <> '' OR task <> '' AND NOT (`+unclaimed+`)`).Scan(&busy)
		return busy == 0, err
	})
	if err != nil {
		return fmt.Errorf("waiting for units of work: %w", err)
	}
	return nil
}

func (c caller) clean() error {
	if !c.collectGarbage() {
		return fmt.Errorf("gc does not work")
	}
	return nil
}

// verify has everything read and compared.
func (c caller) verify() error {
	_, err := c.doors[0].own.VerifyStore(c.ctx, 0, client.Watching{Found: func(f client.Finding) { c.wrong("verify found: %s", f.Text) }})
	return err
}

// check looks whether the answers can be explained.
func (w *world) check(t *testing.T) {
	t.Helper()
	w.checkMakers()
	for _, text := range w.broken {
		t.Error(text)
	}
	all := append(checkHistory("snapshot", stepSnapshot, w.whole(w.history, w.lists, "snap-")), checkHistory("task", stepTask, w.whole(w.tasks, w.taskLists, "import-snap-"))...)
	const most = 5
	for _, text := range all[:min(most, len(all))] {
		t.Error(text)
	}
	if len(all) > most {
		t.Errorf("and %d more", len(all)-most)
	}
}

// checkMakers finds out which call each snapshot was made by, also those that nobody was told of.
func (w *world) checkMakers() {
	imports := map[string]*importing{}
	for _, i := range w.imports {
		imports[i.token] = i
	}
	drafts := map[string]*draft{}
	for _, d := range w.drafts {
		drafts[d.token] = d
	}
	copies := map[string]*copying{}
	for _, k := range w.copies {
		copies[k.description] = k
	}
	made := map[string][]string{}
	for id, about := range w.of {
		made[about] = append(made[about], id)
		most := 1
		switch {
		case imports[about] != nil:
			i := imports[about]
			w.made(id, i.from, w.now())
			if i.stopped > 0 {
				w.history = append(w.history, porcupine.Operation{Input: asked{id, remove}, Output: unknown, Call: i.stopped, Return: never})
			}
		case drafts[about] != nil:
			w.made(id, drafts[about].from, w.now())
		case copies[about] != nil:
			w.made(id, copies[about].from, w.now())
			most = copies[about].attempts
		default:
			w.wrong("snapshot %s (%q) is of no request", id, about)
		}
		if len(made[about]) > most {
			w.wrong("%q made snapshots %v", about, made[about])
		}
	}
}

// whole makes a history of calls, lists and births.
func (w *world) whole(history []porcupine.Operation, lists []list, prefix string) []porcupine.Operation {
	whole := slices.Clone(history)
	for id, b := range w.births {
		if !strings.HasPrefix(id, prefix) {
			continue
		}
		for _, l := range lists {
			out := absent
			if got := l.found[id]; got != "" {
				out = got
			}
			whole = append(whole, porcupine.Operation{ClientId: l.client, Input: asked{id, look}, Output: out, Call: l.from, Return: l.to})
		}
		for _, op := range whole {
			if in, out := op.Input.(asked), op.Output.(answer); in.of == id && out != absent && out != unknown && out != refused && (in.verb != visit || out == yes) {
				b.to = min(b.to, op.Return)
			}
		}
		whole = append(whole, porcupine.Operation{Input: asked{id, create}, Output: ok, Call: b.from, Return: max(b.from, b.to)})
	}
	return whole
}

// texts returns the rows of a query that are of one text each.
func texts(t *testing.T, db *pgx.Conn, query string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	slices.Sort(list)
	return list
}

// compareRows looks for rows that were left behind, and whether what is stored is what snapshots
// have.
func (c caller) compareRows(t *testing.T, db *pgx.Conn) {
	t.Helper()
	for what, query := range map[string]string{
		"units":               `SELECT kind || ' of ' || task FROM units WHERE task <> '' AND NOT (` + unclaimed + `)`,
		"leases":              `SELECT kind FROM units WHERE owner <> ''`,
		"pins of tasks":       `SELECT id FROM tasks WHERE pin <> ''`,
		"holds":               `SELECT why FROM holds`,
		"drafts":              `SELECT snapshot FROM drafts`,
		"blocks of drafts":    `SELECT snapshot FROM draft_blocks`,
		"pages of ranges":     `SELECT snapshot FROM range_pages`,
		"candidates of gc":    `SELECT 'page' FROM page_candidates UNION ALL SELECT 'block' FROM block_candidates UNION ALL SELECT 'file ' || file FROM file_candidates`,
		"condemned blocks":    `SELECT encode(id, 'hex') FROM blocks WHERE condemned <> 0`,
		"damaged blocks":      `SELECT encode(id, 'hex') FROM blocks WHERE damaged <> 0`,
		"blocks without file": `SELECT encode(id, 'hex') FROM blocks WHERE file NOT IN (SELECT id FROM files)`,
		"pages without file":  `SELECT encode(id, 'hex') FROM pages WHERE file NOT IN (SELECT id FROM files)`,
		"events told twice":   `SELECT kind || ' of ' || resource FROM outbox WHERE kind NOT IN ('snapshot.shared', 'snapshot.unshared') GROUP BY kind, resource HAVING COUNT(*) > 1`,
		"ends untold":         `SELECT id FROM tasks t WHERE ended <> 0 AND (SELECT COUNT(*) FROM outbox o WHERE o.resource = t.id AND o.kind LIKE 'import.%') <> 1`,
		"pending snapshots":   `SELECT id FROM snapshots WHERE state <> 'completed'`,
		"open files":          `SELECT kind || ' ' || id FROM files WHERE state <> 'closed'`,
	} {
		if left := texts(t, db, query); len(left) > 0 {
			t.Errorf("left behind are %s: %q", what, left)
		}
	}
	blocks, pages := map[[sha256.Size]byte]bool{}, map[string]bool{}
	for _, id := range texts(t, db, `SELECT id FROM snapshots`) {
		s := c.snaps[id]
		if s == nil {
			t.Errorf("snapshot %s is in the database, and no client knows of it", id)
			continue
		}
		page := map[int64]string{}
		for _, i := range slices.Sorted(maps.Keys(s.content)) {
			blocks[s.content[i]] = true
			page[i/pageBlocks] += fmt.Sprintf(" %d:%x", i%pageBlocks, s.content[i])
		}
		for _, text := range page {
			pages[text] = true
		}
	}
	want := []string{fmt.Sprint(len(blocks), " blocks"), fmt.Sprint(len(pages), " pages")}
	slices.Sort(want)
	if d := cmp.Diff(want, texts(t, db, `SELECT COUNT(*) || ' blocks' FROM blocks UNION ALL SELECT COUNT(*) || ' pages' FROM pages`)); d != "" {
		t.Errorf("what is stored (-snapshots +rows):\n%s", d)
	}
}

// compareFiles compares the objects in the store with the rows of files.
func (c caller) compareFiles(t *testing.T, db *pgx.Conn) {
	t.Helper()
	const prefix = "cluster/"
	storage, bucket, ctx := c.cluster.Storage(), aws.String(blocks), t.Context()
	found := []string{}
	pages := s3.NewListObjectsV2Paginator(storage, &s3.ListObjectsV2Input{Bucket: bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			head, err := storage.HeadObject(ctx, &s3.HeadObjectInput{Bucket: bucket, Key: o.Key})
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimPrefix(*o.Key, prefix)
			if head.Metadata["diskport-removed"] == "" && name != "identity" {
				found = append(found, fmt.Sprintf("%s %d", name, *o.Size))
			}
		}
	}
	slices.Sort(found)
	want := texts(t, db, `SELECT kind || '/' || lpad(to_hex(id % 256), 2, '0') || '/' || lpad(to_hex(id), 16, '0') || ' ' || bytes FROM files`)
	if d := cmp.Diff(want, found); d != "" {
		t.Errorf("files (-rows +objects):\n%s", d)
	}
	ups, err := storage.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range ups.Uploads {
		t.Errorf("an upload of %s was left behind", *u.Key)
	}
}
