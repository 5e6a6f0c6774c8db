// Package diskport_test holds the laws that the whole module obeys: which
// package may import which, and that the documents name what exists.
package diskport_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/diskport/diskport"

// wings are the parts of the service, as `ls internal` shows them. A package of a
// wing imports words, its own wing and the wings below it, never one above it.
var wings = map[string]int{
	"internal/identity": 1, // who asks, and keys
	"internal/store":    2, // blocks, manifests, drafts
	"internal/imports":  3, // an image becomes a snapshot
	"internal/api":      4, // one edge each
}

// floors is the whole building. An import goes to a lower floor, or along one
// of neighbours. Floors count inside a wing; the words lie under all wings, what
// is over them above. A package that is not here is not allowed: give it a floor.
var floors = map[string]int{
	"diskimage":                          0, // public: the vocabulary of disks
	"diskimage/internal/bounded":         0,
	"diskimage/internal/blockmap":        0,
	"diskimage/internal/inflate":         0,
	"diskimage/internal/xz":              0,
	"diskimage/raw":                      1,
	"diskimage/vhd":                      1,
	"diskimage/vhdx":                     1,
	"diskimage/vmdk":                     1,
	"diskimage/qcow2":                    1,
	"diskimage/vdi":                      1,
	"diskimage/qed":                      1,
	"diskimage/parallels":                1,
	"diskimage/wrap":                     1,
	"diskimage/ova":                      1,
	"diskimage/dmg":                      1,
	"diskimage/detect":                   2,
	"internal/block":                     0, // words and small mechanisms
	"internal/awsid":                     0,
	"internal/cache":                     0,
	"internal/failpoint":                 0,
	"internal/holes":                     0,
	"internal/quota":                     0,
	"internal/space":                     0,
	"internal/steady":                    0,
	"internal/logkey":                    0,
	"internal/span":                      0,
	"internal/otlp":                      0,
	"internal/outbox":                    2,
	"internal/wake":                      0,
	"internal/listing":                   0,
	"internal/durable":                   0,
	"internal/work":                      1, // made of words
	"internal/audit":                     1,
	"internal/tag":                       1,
	"internal/image":                     2,
	"internal/volume":                    2,
	"internal/identity/secret":           11,
	"internal/identity/sigv4":            11,
	"internal/identity/policy":           11,
	"internal/identity/iam":              12,
	"internal/identity/kms":              13,
	"internal/store/frame":               21,
	"internal/store/blockstore":          22,
	"internal/store/blobdir":             23,
	"internal/store/blobs3":              23,
	"internal/store/keyring":             23,
	"internal/store/snapshot":            24,
	"internal/store/gc":                  25,
	"internal/store/compact":             25,
	"internal/store/footprint":           25,
	"internal/store/backup":              25,
	"internal/store/verify":              26,
	"internal/imports/objects":           31,
	"internal/imports/scratch":           31,
	"internal/imports/ingest":            31,
	"internal/imports/bucketpolicy":      32,
	"internal/imports/ssekms":            32,
	"internal/imports/source":            33,
	"internal/imports/source/sourcetest": 33,
	"internal/imports/importtask":        34,
	"internal/api/ec2query":              41,
	"internal/api/flow":                  41,
	"internal/api/awshttp":               42,
	"internal/api/ec2api":                43,
	"internal/api/ebsapi":                43,
	"internal/api/iamapi":                43,
	"internal/api/kmsapi":                43,
	"internal/api/s3api":                 43,
	"internal/api/adminapi":              43,
	"internal/metadb":                    50,  // every store, in SQL
	"internal/server":                    top, // composition root
	"internal/client":                    top, // the wire client behind the CLI
	"scripts/benchdisk":                  top,
	"scripts/benchproc":                  top,
	"cmd/diskport":                       top + 1,
	"scripts/testreport":                 top,
	"e2e/smalldisk":                      top,     // small file systems, for tests
	"e2e/cluster":                        top,     // many nodes on one machine
	"scripts/cluster":                    top + 1, // for people to look at
	"scripts/bench":                      top + 1, // measures the built program from outside
	"scripts/bench-formats":              top + 1, // measures the decoders and the pipeline before a snapshot
	"scripts/bench-s3":                   top + 1, // measures the embedded S3 from outside
}

// top is the lowest floor that is over the wings.
const top = 60

// suite reports whether a package is a conformance suite or a fixture: its name
// says what it tests. Only tests import it, so it stands above all floors but
// the top, and may ask the environment which server to test against.
func suite(name string) bool { return strings.HasSuffix(name, "test") }

// neighbours are the imports that stay on a floor, or inside diskimage.
var neighbours = map[string][]string{
	"diskimage/internal/blockmap": {"diskimage", "diskimage/internal/bounded"},
	"diskimage/internal/bounded":  {"diskimage"},
	"diskimage/internal/inflate":  {"diskimage"},
}

// onlyTop is what nothing below the top may import: the choice of a database and
// of a back end, and how the program is told things, belong to the top.
var onlyTop = []string{"internal/metadb", "internal/store/blobdir", "internal/store/blobs3", "flag"}

// overTheWire lists, for those that must reach the service over the wire, what
// they may import of the module besides words (floor 0) and diskimage. The
// command line reads images by itself too, and needs room to unpack them.
var overTheWire = map[string][]string{
	"internal/client":  {},
	"cmd/diskport":     {"internal/client", "internal/server", "internal/imports/scratch", "internal/work"},
	"scripts/bench":    {"scripts/benchdisk", "scripts/benchproc"},
	"scripts/bench-s3": {"scripts/benchproc"},
	"e2e/cluster":      {},
	"scripts/cluster":  {"e2e/cluster"},
}

// outside is what could reach a file, an address or another process. A decoder
// is given bytes and imports none of it.
var outside = []string{
	"os", "os/exec", "os/user", "io/fs", "io/ioutil", "path/filepath", "embed", "plugin",
	"net", "net/http", "net/rpc", "net/smtp", "net/url", "syscall", "unsafe", "log", "log/slog",
	"golang.org/x/sys/unix", "runtime/debug", "runtime/cgo", "C",
}

// testsOnly are modules that are for tests alone, because compiling them would make
// the first build of the program longer than what it gains: it is what a new user
// waits for. docs/dependencies.md says what each would cost.
var testsOnly = []string{
	"github.com/aws/aws-sdk-go-v2/service/ec2",
	"github.com/aws/aws-sdk-go-v2/service/iam",
	"github.com/alecthomas/kong", // it has the linker keep every method: docs/adr/0009-command-line.md
	"github.com/spf13/cobra/doc",
}

// mayStartService are the files that may name the composition root.
var mayStartService = []string{"cmd/diskport/serve.go", "cmd/diskport/service.go"}

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func TestImportsObeyTheFloors(t *testing.T) {
	for _, p := range packages(t) {
		floor, ok := floors[p.name()]
		if suite(p.name()) {
			floor, ok = top, true
		}
		if !ok {
			t.Errorf("%s has no floor in deps_test.go", p.name())
			continue
		}
		for _, imp := range p.Imports {
			checkImport(t, p.name(), floor, imp)
		}
	}
}

func checkImport(t *testing.T, from string, floor int, imp string) {
	if floor < top && slices.Contains(onlyTop, strings.TrimPrefix(imp, module+"/")) {
		t.Errorf("%s (floor %d) imports %s, which is for the top", from, floor, imp)
	}
	to, inside := strings.CutPrefix(imp, module+"/")
	if !inside {
		return
	}
	if suite(to) && !suite(from) {
		t.Errorf("%s imports %s, which is for tests", from, to)
	}
	if floors[to] >= floor && !slices.Contains(neighbours[from], to) {
		t.Errorf("%s (floor %d) imports %s (floor %d)", from, floor, to, floors[to])
	}
	if w := wing(from); w > 0 && wing(to) > w {
		t.Errorf("%s (wing %d) imports %s (wing %d)", from, w, to, wing(to))
	}
	if wing(to) == 4 && wing(from) != 4 && from != "internal/server" && !suite(from) {
		t.Errorf("%s imports %s; edges are for the server alone", from, to)
	}
	allowed, limited := overTheWire[from]
	word := floors[to] == 0 || strings.HasPrefix(to, "diskimage/")
	if limited && !word && !slices.Contains(allowed, to) {
		t.Errorf("%s imports %s; it reaches the service over the wire", from, to)
	}
}

// wing returns the number of the wing that a package is in; 0: in none.
func wing(name string) int {
	parts := strings.SplitN(name, "/", 3)
	if len(parts) < 3 {
		return 0
	}
	return wings[parts[0]+"/"+parts[1]]
}

// TestFloorsFollowTheWings: every package of a wing has a floor in its tens, so
// that the floors alone say what the wings say.
func TestFloorsFollowTheWings(t *testing.T) {
	for name, floor := range floors {
		if w := wing(name); strings.HasPrefix(name, "internal/") && floor < 50 && floor/10 != w {
			t.Errorf("%s is in wing %d and on floor %d", name, w, floor)
		}
	}
}

func TestDecodersReachNothing(t *testing.T) {
	decoders := 0
	for _, p := range packages(t) {
		if suite(p.name()) || p.name() != "diskimage" && !strings.HasPrefix(p.name(), "diskimage/") {
			continue
		}
		decoders++
		for _, imp := range p.Imports {
			if slices.Contains(outside, imp) {
				t.Errorf("%s imports %s; a decoder is given bytes and reaches nothing else", p.name(), imp)
			}
		}
	}
	if decoders < 10 {
		t.Errorf("%d packages under diskimage were looked at", decoders)
	}
}

func TestTheProgramLeavesOutWhatIsForTests(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./cmd/diskport").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(out)) {
		for _, m := range testsOnly {
			if name == m || strings.HasPrefix(name, m+"/") {
				t.Errorf("cmd/diskport is built from %s, which is for tests", name)
			}
		}
	}
}

// TestNeighboursAreKnown: a name in neighbours that is misspelt would allow nothing.
func TestNeighboursAreKnown(t *testing.T) {
	for from, tos := range neighbours {
		for _, name := range append(slices.Clone(tos), from) {
			if _, ok := floors[name]; !ok {
				t.Errorf("neighbours names %s, which has no floor", name)
			}
		}
	}
}

func TestOnlyTheTopReadsTheEnvironment(t *testing.T) {
	env := []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}
	for _, p := range packages(t) {
		if floors[p.name()] >= top || suite(p.name()) {
			continue
		}
		eachCall(t, p, func(file, pkgName, fn string) {
			if pkgName == "os" && slices.Contains(env, fn) {
				t.Errorf("%s reads the environment (os.%s); floor %d may not", file, fn, floors[p.name()])
			}
		})
	}
}

func TestOnlyTheStartNamesTheServer(t *testing.T) {
	for _, p := range packages(t) {
		if p.name() != "cmd/diskport" {
			continue
		}
		for _, f := range p.GoFiles {
			name := p.name() + "/" + f
			if imports(t, filepath.Join(p.Dir, f), module+"/internal/server") && !slices.Contains(mayStartService, name) {
				t.Errorf("%s imports internal/server; only %v may", name, mayStartService)
			}
		}
	}
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// packages lists the module's packages that hold more than tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("reading what go list says: %v", err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages", len(all))
	}
	return all
}

// eachCall calls fn for every call of the form package.Function in p.
func eachCall(t *testing.T, p pkg, fn func(file, pkgName, fn string)) {
	t.Helper()
	for _, f := range p.GoFiles {
		path := filepath.Join(p.Dir, f)
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := sel.X.(*ast.Ident); ok {
					fn(p.name()+"/"+f, id.Name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func imports(t *testing.T, path, want string) bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool {
		got, _ := strconv.Unquote(i.Path.Value)
		return got == want
	})
}
