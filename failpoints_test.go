package diskport_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"
)

// stepless are the functions that change files, or make them durable, without a fail point,
// and why.
var stepless = map[string]string{
	"internal/store/blobdir.preallocate":   "gives room back in a file that nobody knows",
	"internal/store/blobdir.probe":         "a file that says nothing",
	"internal/store/blobdir.removeIfThere": "its callers have points",
	"internal/durable.ensure":              "who wants one has Made",
	"internal/durable.SyncFolder":          "callers have it",
	"internal/server.makeFolder":           "nothing is in it yet",
	"internal/server.removeCutOff":         "what it removes nobody knows",
	"internal/server.forgetDatabase":       "no service runs yet; e2e kills restores elsewhere",
	"internal/server.listen":               "what a socket is called means nothing once its service has died",
	"internal/server.close":                "where a service listens means nothing once it has died",
	"internal/imports/scratch.Clear":       "what it removes nobody knows",
	"internal/store/backup.RemoveCutOff":   "what it removes nobody knows",
	"internal/store/backup.run":            "scratch",
	"internal/space.SetBallast":            "ballast has no contents",
	"internal/space.reserve":               "ballast has no contents",
	"internal/store/blobs3.probePut":       "an object that says nothing",
	"internal/store/blobs3.probeUpload":    "as above",
}

// fileSteps are the calls that are steps of a file's life.
var fileSteps = map[string]bool{"Sync": true, "Truncate": true}

// osSteps are those of package os.
var osSteps = map[string]bool{"Rename": true, "Link": true, "Remove": true, "RemoveAll": true, "Mkdir": true, "MkdirAll": true}

// bucketSteps are those of a client of a bucket.
var bucketSteps = map[string]bool{
	"PutObject": true, "CopyObject": true, "DeleteObject": true,
	"CreateMultipartUpload": true, "UploadPart": true, "CompleteMultipartUpload": true, "AbortMultipartUpload": true,
}

// serviceFiles are the packages in which the service writes files, or objects of a bucket.
var serviceFiles = []string{"internal/store/blobdir", "internal/store/blobs3", "internal/durable", "internal/server", "internal/imports/scratch", "internal/imports/objects", "internal/space", "internal/metadb", "internal/store/backup", "internal/audit"}

// TestStepsOfFilesHaveFailPoints: a function of the service that makes a file durable, gives
// it a name or removes it, on disk or in a bucket, has a point for that, so that e2e/torture kills the service there.
// Transactions have theirs from the driver around the database's.
func TestStepsOfFilesHaveFailPoints(t *testing.T) {
	found := map[string]bool{}
	for _, p := range packages(t) {
		if !slices.Contains(serviceFiles, p.name()) {
			continue
		}
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				step, point := fileStep(fn)
				at := p.name() + "." + fn.Name.Name
				switch _, exempt := stepless[at]; {
				case step == "":
				case exempt:
					found[at] = true
				case !point:
					t.Errorf("%s calls %s, and has no failpoint", at, step)
				}
			}
		}
	}
	for at := range stepless {
		if !found[at] {
			t.Errorf("stepless names %s, which has no such step", at)
		}
	}
}

// fileStep returns a step of a file's life that a function does itself, and whether it
// has a fail point.
func fileStep(fn *ast.FuncDecl) (step string, point bool) {
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		s, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		on, _ := s.X.(*ast.Ident)
		if on != nil && on.Name == "failpoint" {
			point = true
		}
		ofTime := len(call.Args) == 1 && isOf(call.Args[0], "time") // d.Truncate(time.Second)
		if fileSteps[s.Sel.Name] && !ofTime || osSteps[s.Sel.Name] && on != nil && on.Name == "os" || bucketSteps[s.Sel.Name] && isField(s.X, "client") {
			step = s.Sel.Name
		}
		return true
	})
	return step, point
}

// isField reports whether an expression is a field of something, of that name.
func isField(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == name
}

// isOf reports whether an expression is a name of a package.
func isOf(e ast.Expr, pkg string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	id, ok := s.X.(*ast.Ident)
	return ok && id.Name == pkg
}
