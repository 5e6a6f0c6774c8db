package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/diskport/diskport/internal/client"
)

// On a cluster the tests' services are nodes: a PostgreSQL has their rows, the S3 of another
// process their blocks and their images, and a proxy in front of both makes it one service to
// clients. Tests that bring such settings along are what they are.
var on = flag.String("on", "", "where services keep what they have: \"cluster\": in a PostgreSQL and a bucket; empty: in a data directory")

const ofCluster = "cluster"

// onCluster reports whether a test's services are nodes: all are, or some.
func onCluster(t *testing.T) bool {
	return *on == ofCluster || strings.HasPrefix(t.Name(), "TestOnCluster/")
}

// The reasons why tests are not run on a cluster.
const (
	ofDirectory = "it is about files of a data directory, of which a node has none that have to last"
	ofBackups   = "nodes refuse backups: PostgreSQL has tools of its own"
	ofDisk      = "a full disk, which is a node's scratch alone"
	ofEmbedded  = "it is about the embedded S3, which nodes refuse, with keys of users and policies of buckets that another S3 does not know"
	ofTLS       = "it is about the service's own listener, and the proxy in front is the test's"
	ofItself    = "it starts a service by itself, which is a single node"
	ofNodes     = "it makes nodes of its own, whatever else is run"
	ofKey       = "the master key of nodes is replaced in steps: internal/server and e2e/torture do so"
)

// apart are the tests that are not run on a cluster, and why.
var apart = map[string]string{
	"TestBackupOfABusyService": ofBackups, "TestBackupKilled": ofBackups, "TestBackupKeys": ofBackups, "TestUnprovenBackup": ofBackups,
	"TestBackupToS3": ofBackups, "TestBackupIsRefused": ofBackups, "TestPartialRestore": ofBackups,
	"TestMovedData": ofDirectory, "TestUpgrade": ofDirectory, "TestFormatOneIsRefused": ofDirectory, "TestOneServiceADataDirectory": ofDirectory,
	"TestBitRot": ofDirectory, "TestRepair": ofDirectory, "TestRebuild": ofDirectory, "TestAServiceThatListensIsFound": ofDirectory,
	"TestFullDisk": ofDisk, "TestFullDiskIsNoLock": ofDisk, "TestFullDiskHoldsImports": ofDisk,
	"TestPresignedByTheCLI": ofEmbedded, "TestPresignedUnderADomain": ofEmbedded, "TestImportOfAnEncryptedObject": ofEmbedded,
	"TestAccountsAreIsolated": ofEmbedded, "TestAllButOneThing": ofEmbedded, "TestAuditLogInABucket": ofEmbedded, "TestMonitoring": ofEmbedded,
	"TestHTTPS": ofTLS, "TestHostileClients": ofTLS,
	"TestClients": ofItself, "TestFewFiles": ofItself, "TestDemo": ofItself, "TestScripts": ofItself, "TestKeysElsewhere": ofItself, "TestImportThroughARoleElsewhere": ofItself,
	"TestRotateKey": ofKey,
	"TestManyNodes": ofNodes, "TestNodesThatDoNotFit": ofNodes, "TestBlocksInABucket": ofNodes,
	"TestInterruptedImportIsCancelled": ofItself, "TestLoad": ofEmbedded,
	"TestNoSecretIsInTheClear": ofEmbedded, "TestAuditLog": ofEmbedded, // by presigned URLs of it
	"TestNobodyChoosesARegionToEscape": ofEmbedded, "TestRegions": ofDirectory, // where commands find their keys
	"TestTheSourceIsPinnedByTheCall": "an object of another S3 that is overwritten fails its import, as TestImportFromAThirdPartysS3 shows",
}

// short are the tests that are run on a cluster beside all others: some of everything that
// clients do.
var short = map[string]func(*testing.T){
	"TestCancel": TestCancel, "TestImportImageIsKilled": TestImportImageIsKilled, "TestEveryActionInGo": TestEveryActionInGo,
	"TestVolumesOutliveTheirSnapshot": TestVolumesOutliveTheirSnapshot, "TestEncryptedImport": TestEncryptedImport, "TestSizesOfWhatIsKept": TestSizesOfWhatIsKept,
}

// TestOnCluster runs some tests on a cluster; make cluster-e2e runs all.
func TestOnCluster(t *testing.T) {
	if *on == ofCluster {
		t.Skip("all tests are run on a cluster")
	}
	for name, test := range short {
		t.Run(name, test)
	}
}

// TestApartAreTests: what is not run on a cluster is there to be run.
func TestApartAreTests(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, path := range files {
		all = append(all, read(t, path)...)
	}
	for name, why := range apart {
		if !bytes.Contains(all, []byte("\nfunc "+name+"(t *testing.T) {")) || why == "" {
			t.Errorf("%s is no test, or there is no reason why it is not run on a cluster", name)
		}
	}
}

// noted says once of each test why it is not run, for the summary.
var noted sync.Map

// ground is what a node stands on, by its data directory: it outlives the node.
type ground struct {
	flags   []string
	env     []string
	storage *service
	front   *httptest.Server
	node    atomic.Pointer[url.URL]
}

var grounds sync.Map // of *ground, by data directory

// leaveOut skips a test that is not run on a cluster, if this is one.
func leaveOut(t *testing.T) {
	t.Helper()
	if !onCluster(t) {
		return
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(t.Name(), "TestOnCluster/"), "/")
	if why := apart[top]; why != "" {
		noted.Store(top, why)
		t.Skipf("not on a cluster: %s", why)
	}
}

// bringsItsOwn reports whether flags say where rows, blocks or images are.
func bringsItsOwn(flags []string) bool {
	return slices.ContainsFunc(flags, func(f string) bool {
		return f == "--database" || f == "--store" || f == "--source-endpoint"
	})
}

// groundOf returns what the node on a data directory stands on; nil if it is to be a single node.
func groundOf(t *testing.T, data string, flags []string) *ground {
	t.Helper()
	if !onCluster(t) || bringsItsOwn(flags) {
		return nil
	}
	leaveOut(t)
	if g, ok := grounds.Load(data); ok {
		return g.(*ground)
	}
	g := &ground{}
	g.storage = startCommand(t, data+".s3", exec.Command("diskport", serveArgs(data+".s3", nil)...), nil)
	if _, err := g.storage.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("blocks-of-nodes")}); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(filepath.Dir(data), filepath.Base(data)+".key")
	if err := os.WriteFile(key, bytes.Repeat([]byte("key."), 8), 0o600); err != nil {
		t.Fatal(err)
	}
	g.flags = []string{
		"--database", postgres.New(t), "--store", "s3://blocks-of-nodes/here?endpoint=" + url.QueryEscape(g.storage.endpoint) + "&region=" + region,
		"--source-endpoint", g.storage.endpoint, "--source-sts", "none", "--master-key-file", key,
	}
	for _, what := range []string{"STORE", "SOURCE"} {
		g.env = append(g.env, "DISKPORT_"+what+"_ACCESS_KEY_ID="+keyID, "DISKPORT_"+what+"_SECRET_ACCESS_KEY="+secret)
	}
	g.front = httptest.NewServer(g.proxy(t))
	grounds.Store(data, g)
	t.Cleanup(func() {
		grounds.Delete(data)
		g.front.Close()
	})
	return g
}

// proxy passes requests that are signed for S3 to the storage, and all others to the node, with
// the Host that was signed. The storage takes the same root key.
func (g *ground) proxy(t *testing.T) http.Handler {
	t.Helper()
	storage, err := url.Parse(g.storage.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	passed := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			to := g.node.Load()
			if isS3(r.In) {
				to = storage
			}
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
		},
		FlushInterval: -1, // event streams
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Commands remove what they have uploaded once there is a task: an embedded S3 keeps the
		// bytes for that, another one does not.
		if isS3(r) && r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/"+client.ImportName+"/") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		passed.ServeHTTP(w, r)
	})
}

// isS3 reports whether a request is signed for S3.
func isS3(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Authorization")+r.URL.Query().Get("X-Amz-Credential"), "/s3/aws4_request")
}

// stands has a node that listens be found through the front.
func (g *ground) stands(t *testing.T, endpoint string) string {
	t.Helper()
	at, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	g.node.Store(at)
	return g.front.URL
}

// blocks returns a folder with the files of the store. That of a node is a copy of what is in
// the bucket, without marks of what was removed.
func (s *service) blocks(t *testing.T) string {
	t.Helper()
	if s.ground == nil {
		return filepath.Join(s.data, "blocks")
	}
	root, bucket, from := filepath.Join(t.TempDir(), "blocks"), aws.String("blocks-of-nodes"), s.ground.storage.S3
	pages := s3.NewListObjectsV2Paginator(from, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("here/")})
	for pages.HasMorePages() {
		page := must(pages.NextPage(t.Context()))(t)
		for _, o := range page.Contents {
			got := must(from.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: o.Key}))(t)
			data, err := io.ReadAll(got.Body)
			if err := errors.Join(err, got.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if got.Metadata["diskport-removed"] != "" {
				continue
			}
			path := filepath.Join(root, strings.TrimPrefix(*o.Key, "here/"))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// sumApart says which tests were not run on a cluster.
func sumApart() {
	var list []string
	noted.Range(func(name, why any) bool {
		list = append(list, fmt.Sprintf("%s: %s", name, why))
		return true
	})
	slices.Sort(list)
	fmt.Printf("%d tests were not run on a cluster:\n%s\n", len(list), strings.Join(list, "\n"))
}
