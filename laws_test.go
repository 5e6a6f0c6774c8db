package diskport_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// maxMethods is the largest interface that needs no reason.
const maxMethods = 5

// sums are the interfaces that have more than maxMethods methods, and why. Each is
// made of interfaces that have at most maxMethods, which are what its users should
// ask for, and adds none of its own.
var sums = map[string]string{
	"internal/imports/importtask.Store":          "the events of imports: one transaction each, so one database has all or none",
	"internal/store/snapshot.Store":              "the records and what owners do to them, in the database that has the events",
	"internal/store/snapshot.DraftStore":         "the events of drafts: as of imports",
	"internal/store/blockstore.Catalog":          "files and the blocks in them, in the database that has the events",
	"internal/store/gc.Store":                    "the catalog as a cycle of gc sees it, in the database that has the events",
	"internal/store/verify.Store":                "rows, and what else the database tells, in the one that has the events",
	"internal/store/keyring.KMS":                 "one service has both halves, and is chosen by one URL",
	"internal/server.blockBackend":               "all that a back end is asked for, in the table that chooses one",
	"internal/store/blockstore/blobtest.Backend": "all that a back end is tested for",
	"diskimage/detect.image":                     "what every decoder returns",
	"internal/identity/iam.Store":                "identities in the database that has all of them, each kind a part",
	"internal/identity/kms.Store":                "keys, aliases and grants in one database, each a part",
	"internal/imports/objects.Store":             "the events of buckets and objects: as of imports",
}

// booleans are the exported functions and methods that take a bool, and why. At a
// call, true and false say nothing: an option, a type or two functions do.
var booleans = map[string]string{}

// foreign are the sizes of the interfaces outside the module that ours embed.
var foreign = map[string]int{
	"error": 1, "comparable": 0, "any": 0,
	"fmt.Stringer": 1,
	"io.Reader":    1, "io.Writer": 1, "io.Closer": 1, "io.ReaderAt": 1, "io.WriterAt": 1,
	"io.ReadCloser": 2, "io.WriteCloser": 2, "io.ReadSeeker": 2,
}

// code is the module's own, without tests, as far as the laws look at it.
type code struct {
	interfaces map[string]contract // by package and name, "internal/work.Store"
	booleans   []string            // exported functions with a boolean parameter
}

// contract is an interface: methods of its own, and what it embeds.
type contract struct {
	own    int
	embeds []string
}

func TestInterfacesAreSmall(t *testing.T) {
	c := readCode(t)
	if len(c.interfaces) < 50 {
		t.Fatalf("%d interfaces were looked at", len(c.interfaces))
	}
	for name, i := range c.interfaces {
		size := c.size(t, name)
		reason, listed := sums[name]
		switch {
		case size > maxMethods && !listed:
			t.Errorf("%s has %d methods: divide it by its users", name, size)
		case size <= maxMethods && listed:
			t.Errorf("%s has %d methods and needs no reason (%s)", name, size, reason)
		case listed && i.own > 0:
			t.Errorf("%s has %d methods besides its parts", name, i.own)
		}
		for _, part := range i.embeds {
			if _, sum := sums[part]; sum {
				t.Errorf("%s embeds %s, which is a sum of parts: ask for those that are needed", name, part)
			}
		}
	}
	for name := range sums {
		if _, ok := c.interfaces[name]; !ok {
			t.Errorf("sums names %s, which does not exist", name)
		}
	}
}

func TestExportedFunctionsTakeNoBooleans(t *testing.T) {
	c := readCode(t)
	for _, name := range c.booleans {
		if _, ok := booleans[name]; !ok {
			t.Errorf("%s has a boolean parameter", name)
		}
	}
	for name := range booleans {
		if !slices.Contains(c.booleans, name) {
			t.Errorf("booleans names %s, which has no boolean parameter", name)
		}
	}
}

// size counts the methods of an interface with those of what it embeds.
func (c code) size(t *testing.T, name string) int {
	t.Helper()
	i, ok := c.interfaces[name]
	if !ok {
		n, known := foreign[name]
		if !known {
			t.Errorf("how many methods has %s? Add it to foreign", name)
		}
		return n
	}
	n := i.own
	for _, part := range i.embeds {
		n += c.size(t, part)
	}
	return n
}

func readCode(t *testing.T) code {
	t.Helper()
	c := code{interfaces: map[string]contract{}}
	for _, p := range packages(t) {
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			s := scope{pkg: p.name(), imports: importNames(file)}
			ast.Inspect(file, func(n ast.Node) bool {
				c.look(s, n)
				return true
			})
		}
	}
	return c
}

func (c *code) look(s scope, n ast.Node) {
	switch n := n.(type) {
	case *ast.TypeSpec:
		if i, ok := n.Type.(*ast.InterfaceType); ok {
			c.interfaces[s.pkg+"."+n.Name.Name] = s.contract(i)
		}
	case *ast.InterfaceType:
		for _, m := range n.Methods.List {
			if fn, ok := m.Type.(*ast.FuncType); ok {
				c.function(s, m.Names[0], fn)
			}
		}
	case *ast.FuncDecl:
		c.function(s, n.Name, n.Type)
	}
}

func (c *code) function(s scope, name *ast.Ident, fn *ast.FuncType) {
	at := s.pkg + "." + name.Name
	if name.IsExported() && slices.ContainsFunc(fn.Params.List, isBool) && !slices.Contains(c.booleans, at) {
		c.booleans = append(c.booleans, at)
	}
}

func isBool(f *ast.Field) bool {
	t := f.Type
	if many, ok := t.(*ast.Ellipsis); ok {
		t = many.Elt
	}
	id, ok := t.(*ast.Ident)
	return ok && id.Name == "bool"
}

// scope is what names mean in one file.
type scope struct {
	pkg     string
	imports map[string]string // package names to paths, short for those of the module
}

func importNames(file *ast.File) map[string]string {
	names := map[string]string{}
	for _, i := range file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		path = strings.TrimPrefix(path, module+"/")
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = path
	}
	return names
}

func (s scope) contract(i *ast.InterfaceType) contract {
	var c contract
	for _, m := range i.Methods.List {
		switch t := m.Type.(type) {
		case *ast.FuncType:
			c.own++
		case *ast.Ident:
			c.embeds = append(c.embeds, s.local(t.Name))
		case *ast.SelectorExpr:
			if id, ok := t.X.(*ast.Ident); ok {
				c.embeds = append(c.embeds, s.imports[id.Name]+"."+t.Sel.Name)
			}
		}
	}
	return c
}

// local is the full name of a name that a file uses without a package.
func (s scope) local(name string) string {
	if _, predeclared := foreign[name]; predeclared {
		return name
	}
	return s.pkg + "." + name
}
