package diskport_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// spelledOut are keys that package logkey has, and other spellings of them.
var spelledOut = []string{
	"request", "requestId", "request_id", "account", "accountId", "task", "taskId", "snapshot", "snapshotId", "unit", "kind", "error", "err",
}

// TestLogKeysAreNamedOnce looks for log records whose keys are spelt out where
// package logkey has a name for them.
func TestLogKeysAreNamedOnce(t *testing.T) {
	logging := []string{
		"Debug", "Info", "Warn", "Error", "With", "Log", "DebugContext", "InfoContext", "WarnContext", "ErrorContext",
		"String", "Any", "Int", "Int64", "Group",
	}
	calls := 0
	for _, p := range packages(t) {
		for _, f := range p.GoFiles {
			path := filepath.Join(p.Dir, f)
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !slices.Contains(logging, sel.Sel.Name) || !logs(sel) {
					return true
				}
				calls++
				for i, arg := range call.Args {
					lit, ok := arg.(*ast.BasicLit)
					if !ok || lit.Kind != token.STRING || i == 0 && sel.Sel.Name != "With" && !isSlog(sel) {
						continue // no literal, or a message
					}
					if key, _ := strconv.Unquote(lit.Value); slices.Contains(spelledOut, key) {
						t.Errorf("%s spells the log key %q out; package logkey has it", files.Position(lit.Pos()), key)
					}
				}
				return true
			})
		}
	}
	if calls < 15 {
		t.Errorf("%d log calls were looked at", calls)
	}
}

// logs reports whether a selector is a method of a logger, by the logger's name, or
// a function of log/slog.
func logs(sel *ast.SelectorExpr) bool {
	switch x := sel.X.(type) {
	case *ast.Ident:
		return x.Name == "log" || x.Name == "slog"
	case *ast.SelectorExpr:
		return x.Sel.Name == "log" || x.Sel.Name == "Log"
	}
	return false
}

func isSlog(sel *ast.SelectorExpr) bool {
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == "slog"
}
