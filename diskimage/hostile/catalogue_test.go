package hostile_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/diskport/diskport/diskimage/internal/sandboxtest"
)

// cases is the number of cases in the catalogue of hostile images.
const cases = 110

// elsewhere lists tests outside diskimage that cover a case, and tests that can't
// have its number in their names.
var elsewhere = map[int][]string{
	14:  {"internal/imports/source TestPinnedObjectChanged", "internal/imports/objects TestDamageIsFound"},
	106: {"e2e TestKilledInTheMiddle", "e2e TestCancel", "e2e TestFullDisk"},
	109: {"e2e TestTheSourceIsPinnedByTheCall", "internal/imports/objects TestPinsOutliveTheirObject"},
	110: {
		"diskimage/vhd FuzzOpen", "diskimage/vhdx FuzzOpen", "diskimage/qcow2 FuzzOpen", "diskimage/vdi FuzzOpen",
		"diskimage/qed FuzzOpen", "diskimage/parallels FuzzOpen", "diskimage/vmdk FuzzOpen", "diskimage/detect FuzzOpen",
		"diskimage/dmg FuzzOpen", "diskimage/ova FuzzFind", "diskimage/wrap FuzzOpen", "diskimage/hostile FuzzDetect",
		"diskimage/internal/inflate FuzzInflate",
	},
}

// Every case of the catalogue is covered: its number is in the name of a test, or
// the test is named here.
func TestCatalogue(t *testing.T) {
	sandboxtest.Outside(t)
	covered := map[int]int{}
	for _, name := range caseNames(t, "..") {
		for _, n := range numbers(name) {
			covered[n]++
		}
	}
	for n, tests := range elsewhere {
		for _, test := range tests {
			dir, name, _ := strings.Cut(test, " ")
			if !declares(t, filepath.Join("../..", dir), name) {
				t.Errorf("case %d: %s has no %s", n, dir, name)
			}
			covered[n]++
		}
	}
	for n := range cases {
		if covered[n+1] == 0 {
			t.Errorf("case %d of the catalogue has no test", n+1)
		}
		delete(covered, n+1)
	}
	for n := range covered {
		t.Errorf("a test is named after case %d, and there is none", n)
	}
}

// numbered matches the beginning of a case's name: "4, 5 cut" or "60 entries
// 2^32-1".
var numbered = regexp.MustCompile(`^(\d{1,3}(?:, \d{1,3})*) `)

func numbers(name string) []int {
	m := numbered.FindStringSubmatch(name)
	if m == nil {
		return nil
	}
	var all []int
	for s := range strings.SplitSeq(m[1], ", ") {
		n, _ := strconv.Atoi(s) // three digits
		all = append(all, n)
	}
	return all
}

// caseNames returns the strings in the tests under dir that may be, or begin, the
// name of a case: the first string of an element of a table, its key, and the name
// of a subtest.
func caseNames(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	add := func(e ast.Expr) {
		for sum, ok := e.(*ast.BinaryExpr); ok; sum, ok = e.(*ast.BinaryExpr) {
			e = sum.X
		}
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, _ := strconv.Unquote(lit.Value) // the parser has checked it
			names = append(names, s)
		}
	}
	eachTestFile(t, dir, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				for i, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						add(kv.Key)
					} else if _, list := n.Type.(*ast.ArrayType); i == 0 && !list {
						add(e)
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Run" && len(n.Args) == 2 {
					add(n.Args[0])
				}
			}
			return true
		})
	})
	return names
}

// declares reports whether the tests in dir itself have a function of that name.
func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, path := range paths {
		for _, d := range parse(t, path).Decls {
			f, ok := d.(*ast.FuncDecl)
			found = found || ok && f.Recv == nil && f.Name.Name == name
		}
	}
	return found
}

// eachTestFile calls a function for each test file of hostile images under dir.
func eachTestFile(t *testing.T, dir string, visit func(*ast.File)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		named := strings.Contains(filepath.Base(dir)+path, "hostile") || strings.HasPrefix(path, "detect/")
		if err == nil && named && strings.HasSuffix(path, "_test.go") {
			visit(parse(t, filepath.Join(dir, path)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(fmt.Errorf("reading tests: %w", err))
	}
	return file
}
