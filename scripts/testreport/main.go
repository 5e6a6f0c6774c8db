// Command testreport reads the output of several runs of `go test -json`, all at the
// same time, and prints it as go test does: a line for each package, and everything
// that a failed test printed. At the end it names the packages and the tests that took
// longest.
//
//	testreport FILE...
//
// Each file is a run. A line "# name" names it, a line "! reason" says that go
// failed, whatever its tests did. A test that was skipped in every run that came to
// it was not run at all, which is a failure.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

// longest is how many packages, and how many tests, are named at the end.
const longest = 20

func main() {
	if err := reportFiles(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

func reportFiles(names []string) error {
	var runs []io.Reader
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		runs = append(runs, f)
	}
	return report(os.Stdout, runs...)
}

// event is one line of the output; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of what was built
	Test       string
	Output     string
	Elapsed    float64 // seconds
}

// name is a test of a package; without a test, it is the package.
type name struct{ pkg, test string }

// took is a package or a test of a run, and its seconds.
type took struct {
	name, run string
	seconds   float64
}

// reporter gathers what all runs say.
type reporter struct {
	w       io.Writer
	mu      sync.Mutex // held while a line is taken in
	pkgs    []took
	tests   []took        // without those that are parts of others
	skipped map[name]bool // false: not in every run
	ended   int
	failed  []string
}

// run is one of them. Its reporter's mutex guards it too.
type run struct {
	*reporter
	name   string
	output map[name]*strings.Builder // of what has not ended well
}

func report(w io.Writer, runs ...io.Reader) error {
	rep := &reporter{w: w, skipped: map[name]bool{}}
	errs := make([]error, len(runs))
	var all sync.WaitGroup
	for i, r := range runs {
		all.Go(func() {
			errs[i] = (&run{reporter: rep, output: map[name]*strings.Builder{}}).read(r)
		})
	}
	all.Wait()
	return errors.Join(append(errs, rep.conclude())...)
}

func (r *run) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *run) line(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var e event
	if json.Unmarshal([]byte(line), &e) == nil {
		r.event(e)
		return
	}
	r.print("%s", line) // ours, or go's own
	if named, ok := strings.CutPrefix(line, "# "); ok {
		r.name = strings.TrimSpace(named)
	}
	if reason, ok := strings.CutPrefix(line, "! "); ok {
		r.failed = append(r.failed, r.name+": "+strings.TrimSpace(reason))
	}
}

// print writes the report. Errors are ignored, since the exit code says what
// counts.
func (r *reporter) print(format string, args ...any) { _, _ = fmt.Fprintf(r.w, format, args...) }

func (r *run) event(e event) {
	n := name{e.Package, e.Test}
	switch e.Action {
	case "output":
		if r.output[n] == nil {
			r.output[n] = &strings.Builder{}
		}
		r.output[n].WriteString(e.Output)
	case "build-output":
		r.print("%s", e.Output)
	case "build-fail":
		r.failed = append(r.failed, "building "+e.ImportPath)
	case "pass", "skip", "fail":
		if e.Test != "" {
			r.test(n, e)
		} else {
			r.pkg(e)
		}
	}
}

func (r *run) test(n name, e event) {
	before, known := r.skipped[n]
	r.skipped[n] = e.Action == "skip" && (before || !known)
	if !strings.Contains(n.test, "/") {
		r.tests = append(r.tests, took{n.pkg + " " + n.test, r.name, e.Elapsed})
	}
	if e.Action == "fail" {
		r.failed = append(r.failed, n.pkg+" "+n.test)
		r.tell(n)
	}
	delete(r.output, n)
}

func (r *run) tell(n name) {
	if out := r.output[n]; out != nil {
		r.print("%s", out)
	}
}

func (r *run) pkg(e event) {
	r.ended++
	for n := range r.output {
		if n.pkg != e.Package {
			continue
		}
		if e.Action == "fail" { // tests that did not end show why
			r.tell(n)
		}
		delete(r.output, n)
	}
	r.pkgs = append(r.pkgs, took{e.Package, r.name, e.Elapsed})
	switch e.Action {
	case "fail":
		r.failed = append(r.failed, e.Package)
		r.print("FAIL\t%s\t%.1fs\n", e.Package, e.Elapsed)
	case "pass":
		r.print("ok  \t%s\t%.1fs\n", e.Package, e.Elapsed)
	}
}

func (r *reporter) conclude() error {
	r.slowest("packages", r.pkgs)
	r.slowest("tests", r.tests)
	var never []string
	for n, skipped := range r.skipped {
		if skipped {
			never = append(never, n.pkg+" "+n.test)
		}
	}
	switch {
	case len(r.failed) > 0:
		return fmt.Errorf("failed:\n%s", strings.Join(r.failed, "\n"))
	case len(never) > 0:
		return fmt.Errorf("skipped in every run:\n%s", strings.Join(slices.Sorted(slices.Values(never)), "\n"))
	case r.ended == 0:
		return fmt.Errorf("no package was tested")
	}
	return nil
}

// slowest prints which took longest.
func (r *reporter) slowest(what string, all []took) {
	slices.SortStableFunc(all, func(a, b took) int { return int(1000 * (b.seconds - a.seconds)) })
	r.print("\nThe %d slowest %s, of %d:\n", min(longest, len(all)), what, len(all))
	for _, t := range all[:min(longest, len(all))] {
		r.print("%8.1fs  %s (%s)\n", t.seconds, t.name, t.run)
	}
}
