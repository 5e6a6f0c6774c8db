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

// floors is the whole building. An import goes to a lower floor, or along one
// of neighbours. A package that is not here is not allowed: give it a floor.
var floors = map[string]int{
	"diskimage":                   0, // public: the vocabulary of disks
	"diskimage/internal/bounded":  0,
	"diskimage/internal/blockmap": 0,
	"diskimage/internal/inflate":  0,
	"diskimage/internal/xz":       0,
	"diskimage/raw":               1,
	"diskimage/vhd":               1,
	"diskimage/vhdx":              1,
	"diskimage/vmdk":              1,
	"diskimage/qcow2":             1,
	"diskimage/vdi":               1,
	"diskimage/qed":               1,
	"diskimage/parallels":         1,
	"diskimage/wrap":              1,
	"diskimage/ova":               1,
	"diskimage/dmg":               1,
	"diskimage/detect":            2,
	"internal/block":              0, // words
	"internal/awsid":              0,
	"internal/tag":                0,
	"internal/scratch":            0, // room for decoders
	"internal/holes":              0, // of files
	"internal/seal":               1, // pure
	"internal/sigv4":              1,
	"internal/ec2query":           1,
	"internal/policy":             1,
	"internal/iam":                2, // domains
	"internal/kms":                2,
	"internal/work":               2,
	"internal/image":              2,
	"internal/quota":              2,
	"internal/blockstore":         2,
	"internal/blobdir":            2,
	"internal/objects":            3,
	"internal/keyring":            3,
	"internal/source":             4,
	"internal/snapshot":           4,
	"internal/ingest":             5,
	"internal/gc":                 5,
	"internal/importtask":         6,
	"internal/metadb":             7, // every store, in SQL
	"internal/awshttp":            7, // edges
	"internal/ec2api":             7,
	"internal/ebsapi":             7,
	"internal/iamapi":             7,
	"internal/kmsapi":             7,
	"internal/s3gate":             7,
	"internal/adminapi":           7,
	"internal/server":             8, // composition root
	"internal/client":             8, // the wire client behind the CLI
	"cmd/diskport":                9,
	"scripts/benchdisk":           8,
	"scripts/bench":               9, // measures the built program from outside
	"scripts/bench-formats":       9, // measures the decoders and the pipeline before a snapshot
}

// suite reports whether a package is a conformance suite or a fixture: its name
// says what it tests. Only tests import it, so it stands above all floors but
// the top, and may ask the environment which server to test against.
func suite(name string) bool { return strings.HasSuffix(name, "test") }

// neighbours are the imports that stay on a floor, or inside diskimage.
var neighbours = map[string][]string{
	"internal/iam":                {"internal/work"},
	"internal/kms":                {"internal/iam"},
	"internal/blockstore":         {"internal/work"},
	"internal/blobdir":            {"internal/blockstore"},
	"internal/ec2api":             {"internal/awshttp"},
	"internal/ebsapi":             {"internal/awshttp"},
	"internal/iamapi":             {"internal/awshttp"},
	"internal/kmsapi":             {"internal/awshttp"},
	"internal/s3gate":             {"internal/awshttp"},
	"internal/adminapi":           {"internal/awshttp"},
	"diskimage/internal/blockmap": {"diskimage", "diskimage/internal/bounded"},
	"diskimage/internal/bounded":  {"diskimage"},
	"diskimage/internal/inflate":  {"diskimage"},
	"internal/scratch":            {"diskimage"},
}

// onlyTop is what nothing below floor 8 may import: the choice of a database and
// of a back end, and how the program is told things, belong to the top.
var onlyTop = []string{"internal/metadb", "internal/blobdir", "flag"}

// overTheWire lists, for those that must reach the service over the wire, what
// they may import of the module besides words (floor 0) and diskimage.
var overTheWire = map[string][]string{
	"internal/client": {},
	"cmd/diskport":    {"internal/client", "internal/server"},
	"scripts/bench":   {"scripts/benchdisk"},
}

// outside is what could reach a file, an address or another process. A decoder
// is given bytes and imports none of it.
var outside = []string{
	"os", "os/exec", "os/user", "io/fs", "io/ioutil", "path/filepath", "embed", "plugin",
	"net", "net/http", "net/rpc", "net/smtp", "net/url", "syscall", "unsafe", "log", "log/slog",
	"golang.org/x/sys/unix", "runtime/debug", "runtime/cgo", "C",
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
			floor, ok = 8, true
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
	if floor < 8 && slices.Contains(onlyTop, strings.TrimPrefix(imp, module+"/")) {
		t.Errorf("%s (floor %d) imports %s, which is for floor 8", from, floor, imp)
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
	allowed, limited := overTheWire[from]
	word := floors[to] == 0 || strings.HasPrefix(to, "diskimage/")
	if limited && !word && !slices.Contains(allowed, to) {
		t.Errorf("%s imports %s; it reaches the service over the wire", from, to)
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
		if floors[p.name()] >= 8 || suite(p.name()) {
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
