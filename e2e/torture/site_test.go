package torture

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/diskport/diskport/internal/metadb/pgtest"

	_ "github.com/jackc/pgx/v5/stdlib" // the catalog is read behind the service's back
	_ "modernc.org/sqlite"
)

// postgres is where the databases of nodes are.
var postgres *pgtest.Server

// apart are the tests, and the parts of tests, that are not run on a node, and why.
var apart = map[string]string{
	"TestCuts":                 "recordings are of the files of a single node: of a node's own disk nothing has to last, and PostgreSQL and the S3 keep what they answered",
	"TestFills":                "the disk of a node has scratch alone; its store has no end, and fills nothing of a node's",
	"TestBackupsKilled":        "nodes refuse backups: PostgreSQL has tools of its own",
	"TestKilledWhileMending":   "bits are turned in files; what mends does so by the steps of writing, which TestKillsOnNodes kills at",
	"TestKilledWhileMigrating": "it begins with what earlier versions wrote, which is SQLite and files; a node's first start is killed by TestKillsOnNodes, at Open",
	"putting objects":          "the embedded S3 is refused on nodes",
	"uploading objects":        "the embedded S3 is refused on nodes",
	"removing objects":         "the embedded S3 is refused on nodes",
	"rows and files of pieces": "the embedded S3 is refused on nodes",
}

// tellApart says what is not run on a node.
func tellApart(t *testing.T) {
	t.Helper()
	var list []string
	for what, why := range apart {
		list = append(list, what+": "+why)
	}
	slices.Sort(list)
	t.Logf("%d things are not done on a node:\n%s", len(list), strings.Join(list, "\n"))
}

// site is where a service keeps everything: a directory, or, for a node, a database and a bucket
// beside a directory that may be lost.
type site struct {
	data   string
	shared *shared // nil: a single node
}

// shared is what nodes share.
type shared struct {
	database string   // URL
	storage  *service // whose S3 it is
	args     []string
	env      []string
}

// The buckets of the storage, and the prefix of blocks.
const (
	blocksBucket = "blocks"
	blocksPrefix = "node/"
)

// alone is the site of a single node.
func alone(data string) site { return site{data: data} }

// shares makes a site of nodes: a database, and the S3 of another service, which takes the same
// root key.
func shares(t *testing.T) site {
	t.Helper()
	dir := t.TempDir()
	sh := &shared{database: postgres.New(t), storage: alone(filepath.Join(dir, "s3")).serve(t, arm{})}
	if sh.storage.endpoint == "" {
		t.Fatalf("the S3 did not start:\n%s", sh.storage.tail())
	}
	if _, err := sh.storage.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(blocksBucket)}); err != nil {
		t.Fatal(err)
	}
	keys := [2]string{filepath.Join(dir, "key"), filepath.Join(dir, "former.key")}
	for i, path := range keys {
		if err := os.WriteFile(path, bytes.Repeat([]byte{byte(i), 'k', 'e', 'y'}, 8), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sh.args = []string{
		"--database", sh.database, "--store", "s3://" + blocksBucket + "/" + blocksPrefix + "?endpoint=" + url.QueryEscape(sh.storage.endpoint) + "&region=" + region,
		"--source-endpoint", sh.storage.endpoint, "--source-sts", "none", "--master-key-file", keys[0], "--former-master-key-file", keys[1],
	}
	for _, what := range []string{"STORE", "SOURCE"} {
		sh.env = append(sh.env, "DISKPORT_"+what+"_ACCESS_KEY_ID="+keyID, "DISKPORT_"+what+"_SECRET_ACCESS_KEY="+secret)
	}
	return site{filepath.Join(dir, "data"), sh}
}

// openCatalog opens the database, beside the service.
func (at site) openCatalog(t *testing.T) *sql.DB {
	t.Helper()
	engine, dsn := "sqlite", "file:"+(&url.URL{Path: filepath.Join(at.data, "metadata.db")}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(10000)"
	if at.shared != nil {
		engine, dsn = "pgx", at.shared.database
	}
	db, err := sql.Open(engine, dsn)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// lapse has the leases of a node that was killed lapse at once: it is certain not to come back,
// and a service would wait for each of them.
func (at site) lapse(t *testing.T) {
	t.Helper()
	if at.shared == nil {
		return
	}
	db := at.openCatalog(t)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `UPDATE units SET lease_until = 1 WHERE owner <> ''`); err != nil {
		t.Fatal(err)
	}
}

// dialect puts a query as the database understands it.
func (at site) dialect(query string) string {
	if at.shared != nil {
		return strings.ReplaceAll(query, "hex(id)", "encode(id, 'hex')")
	}
	return query
}

// files lists the files of the store, with their sizes; of a bucket, uploads that were not
// ended as well. Marks of what was removed are none.
func (at site) files(t *testing.T) []string {
	t.Helper()
	if at.shared == nil {
		return files(t, filepath.Join(at.data, "blocks"))
	}
	list := []string{}
	for name, size := range at.objects(t, "") {
		if name != "identity" && !strings.HasPrefix(name, ".probe-") { // what a probe leaves that was cut off goes an hour later
			list = append(list, fmt.Sprintf("%s %d", name, size))
		}
	}
	ups, err := at.shared.storage.s3.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(blocksBucket)})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range ups.Uploads {
		if strings.HasPrefix(*u.Key, blocksPrefix+".probe-") {
			continue
		}
		list = append(list, strings.TrimPrefix(*u.Key, blocksPrefix)+" is being uploaded")
	}
	slices.Sort(list)
	return list
}

// markBytes is more than marks have, and less than files.
const markBytes = 1 << 10

// objects returns the objects in the bucket below a folder, with their sizes.
func (at site) objects(t *testing.T, under string) map[string]int64 {
	t.Helper()
	client, found := at.shared.storage.s3, map[string]int64{}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: aws.String(blocksBucket), Prefix: aws.String(blocksPrefix + under)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			if *o.Size < markBytes {
				head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(blocksBucket), Key: o.Key})
				if err != nil {
					t.Fatal(err)
				}
				if head.Metadata["diskport-removed"] != "" {
					continue
				}
			}
			found[strings.TrimPrefix(*o.Key, blocksPrefix)] = *o.Size
		}
	}
	return found
}

// strangeID is the number of a pack that no row names.
const strangeID = 0x0123456789abcd

// strange lays a pack that no row names beside the others, as a lost database leaves it.
func (at site) strange(t *testing.T) (name string) {
	t.Helper()
	name = fmt.Sprintf("pack/%02x/%016x", strangeID&0xff, strangeID)
	if at.shared == nil {
		pack, err := os.ReadFile(packs(t, at.data)[0])
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(at.data, "blocks", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, pack, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for from := range at.objects(t, "pack/") {
		if _, err := at.shared.storage.s3.CopyObject(t.Context(), &s3.CopyObjectInput{
			Bucket: aws.String(blocksBucket), Key: aws.String(blocksPrefix + name), CopySource: aws.String(blocksBucket + "/" + blocksPrefix + from),
		}); err != nil {
			t.Fatal(err)
		}
		return name
	}
	t.Fatal("there is no pack")
	return ""
}

// takeAside returns the names of what was set aside, and takes it away.
func (at site) takeAside(t *testing.T) (list []string) {
	t.Helper()
	if at.shared == nil {
		aside := filepath.Join(at.data, "blocks", "quarantine")
		for _, f := range files(t, aside) {
			list = append(list, strings.Fields(f)[0])
		}
		if err := os.RemoveAll(aside); err != nil {
			t.Fatal(err)
		}
		return list
	}
	for name := range at.objects(t, "aside/") {
		if _, err := at.shared.storage.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(blocksBucket), Key: aws.String(blocksPrefix + name)}); err != nil {
			t.Fatal(err)
		}
		list = append(list, name)
	}
	return list
}

// TestOfNodes: every test is done on a node too, or it is said why not.
func TestOfNodes(t *testing.T) {
	all, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name, is := strings.CutPrefix(line, "func Test")
			name, _, is2 := strings.Cut("Test"+name, "(t *testing.T)")
			if is && is2 && onNodes[name] == "" && apart[name] == "" && !strings.HasSuffix(name, "OnNodes") && name != "TestOfNodes" {
				t.Errorf("%s has no counterpart on nodes, and no reason why", name)
			}
		}
	}
}

// onNodes are the counterparts of tests on nodes.
var onNodes = map[string]string{"TestKills": "TestKillsOnNodes", "TestEveryStepHasAPoint": "TestEveryStepOnNodes"}
