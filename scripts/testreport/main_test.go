package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const passes = `# one
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"pass","Package":"p","Elapsed":1.5}
{"Action":"pass","Package":"q","Elapsed":2.5}
`
	for _, tt := range []struct {
		name, in  string
		err       string   // part of the error; empty: none
		want, not []string // of what is printed
	}{
		{"passes", passes, "", []string{"ok  \tp\t1.5s", "2.5s  q (one)\n     1.5s  p (one)", "0.1s  p TestA (one)"}, []string{"chatter"}},
		{"nothing", "", "no package", nil, nil},
		{"a failed test", `{"Action":"output","Package":"p","Test":"TestA","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}`, "p TestA", []string{"why", "FAIL\tp"}, nil},
		{"a test that never ends", `{"Action":"output","Package":"p","Test":"TestA","Output":"panic: it hung\n"}
{"Action":"fail","Package":"p"}`, "failed:\np", []string{"panic: it hung"}, nil},
		{"a package that is not built", `{"Action":"build-output","ImportPath":"p","Output":"p.go:1: wrong\n"}
{"Action":"build-fail","ImportPath":"p"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`, "building p", []string{"p.go:1: wrong"}, nil},
		{"not JSON", passes + "go: no such module\n", "", []string{"go: no such module"}, nil},
		{"skipped once", passes + `# two
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`, "", []string{"# two"}, nil},
		{"skipped at first", `{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}
` + passes, "", nil, nil},
		{"skipped always", passes + `# two
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}`, "skipped in every run:\np TestB", nil, nil},
		{"go itself fails", passes + "! it ended with 1\n", "failed:\none: it ended with 1", []string{"ok  \tp"}, nil},
		{"one test in two runs", passes + `# two
{"Action":"output","Package":"p","Test":"TestA","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Elapsed":1}`, "p TestA", []string{"why"}, []string{"chatter"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			one, two, _ := strings.Cut(tt.in, "# two")
			err := report(&out, strings.NewReader(one), strings.NewReader("# two"+two))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got error %v, want %q", err, tt.err)
			}
			for _, text := range tt.want {
				if !strings.Contains(out.String(), text) {
					t.Errorf("%q is missing in:\n%s", text, &out)
				}
			}
			for _, text := range tt.not {
				if strings.Contains(out.String(), text) {
					t.Errorf("%q is in:\n%s", text, &out)
				}
			}
		})
	}
}
