package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

const monitoring = "../deploy/monitoring/"

// TestMonitoring compares every query of the dashboard and of the alert rules with what a
// service tells that has imported, failed to import, and collected garbage.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("sixteen bytes at least\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	receiver := httptest.NewServer(http.NotFoundHandler())
	defer receiver.Close()
	s := start(t, filepath.Join(dir, "data"), "--audit-log", "s3://trail", "--webhook", receiver.URL, "--webhook-secret-file", secret)
	s.diskport(t, "import", smallRaw(t, dir, "disk.raw"))
	s.diskport(t, "gc")
	var told map[string][]string
	var values map[string]map[string]bool
	codes := errorCodes(t)
	for { // the store is measured soon after the start
		scrape := s.metrics(t)
		told, values = metricLabels(t, scrape), labelValues(scrape)
		if told["diskport_store_data_bytes"] != nil && told["diskport_imports_total"] != nil && told["diskport_gc_runs_total"] != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	queries := append(dashboardQueries(t), alertQueries(t)...)
	if len(queries) < 30 {
		t.Fatalf("only %d queries were found", len(queries))
	}
	for _, q := range queries {
		if strings.Count(q, "(") != strings.Count(q, ")") || strings.Count(q, "{") != strings.Count(q, "}") {
			t.Errorf("brackets do not match: %s", q)
		}
		for _, m := range metricInQuery.FindAllStringSubmatch(q, -1) {
			name, selector := m[1], m[2]
			labels, ok := told[name]
			if !ok {
				t.Errorf("no metric %s: %s", name, q)
				continue
			}
			for _, l := range labelInSelector.FindAllStringSubmatch(selector, -1) {
				if !slices.Contains(labels, l[1]) {
					t.Errorf("%s has no label %s, but %v: %s", name, l[1], labels, q)
				}
				possible := values[l[1]]
				if l[1] == "code" {
					possible = codes
				}
				for _, alternative := range alternatives(l[2], l[3]) {
					if l[1] != "job" && !matchesAny(t, alternative, possible) {
						t.Errorf("no metric says %s=%q: %s", l[1], alternative, q)
					}
				}
			}
		}
		for _, m := range groupedBy.FindAllStringSubmatch(q, -1) {
			for l := range strings.SplitSeq(m[1], ",") {
				if l = strings.TrimSpace(l); !slices.ContainsFunc(slices.Collect(maps.Values(told)), func(of []string) bool { return slices.Contains(of, l) }) {
					t.Errorf("no metric has the label %s: %s", l, q)
				}
			}
		}
	}
}

var (
	metricInQuery   = regexp.MustCompile(`\b((?:diskport|go|process)_[a-z0-9_]+|up\b)(\{[^}]*\})?`)
	labelInSelector = regexp.MustCompile(`[{,]\s*([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	groupedBy       = regexp.MustCompile(`\bby \(([^)]*)\)`)
	seriesOf        = regexp.MustCompile(`(?m)^([a-z_0-9]+)(\{.*\})? `)
	labelOfSeries   = regexp.MustCompile(`[{,]([a-z_]+)="([^"]*)"`)
)

// alternatives returns what a matcher of a label takes, as regular expressions.
func alternatives(op, value string) (list []string) {
	if op == "=" || op == "!=" {
		return []string{regexp.QuoteMeta(value)}
	}
	depth, from := 0, 0
	for i, c := range value {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			list, from = append(list, value[from:i]), i+1
		}
	}
	return append(list, value[from:])
}

// matchesAny reports whether a regular expression fits one of the values as a whole.
func matchesAny(t *testing.T, expr string, values map[string]bool) bool {
	t.Helper()
	whole, err := regexp.Compile("^(?:" + expr + ")$")
	if err != nil {
		t.Error(err)
		return false
	}
	for v := range values {
		if whole.MatchString(v) {
			return true
		}
	}
	return false
}

// labelValues returns which values each label has in a scrape. Alerts may only ask for those
// that are counted from 0 on: an increase from nothing is none to Prometheus.
func labelValues(scrape string) map[string]map[string]bool {
	values := map[string]map[string]bool{}
	for _, m := range seriesOf.FindAllStringSubmatch(scrape, -1) {
		for _, l := range labelOfSeries.FindAllStringSubmatch(m[2], -1) {
			if values[l[1]] == nil {
				values[l[1]] = map[string]bool{}
			}
			values[l[1]][l[2]] = true
		}
	}
	return values
}

// errorCodes returns what may be a code of an answer: statuses, and words in the edges' code.
func errorCodes(t *testing.T) map[string]bool {
	t.Helper()
	codes := map[string]bool{"200": true, "500": true}
	err := filepath.WalkDir("../internal/api", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range quotedWord.FindAllStringSubmatch(string(text), -1) {
			codes[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return codes
}

var quotedWord = regexp.MustCompile(`"([A-Za-z.]+)"`)

// metricLabels returns the labels of each metric of a scrape, with those that Prometheus
// adds.
func metricLabels(t *testing.T, scrape string) map[string][]string {
	t.Helper()
	labels := map[string][]string{"up": {"job", "instance"}}
	for _, m := range seriesOf.FindAllStringSubmatch(scrape, -1) {
		names := []string{"job", "instance"}
		for _, l := range labelOfSeries.FindAllStringSubmatch(m[2], -1) {
			names = append(names, l[1])
		}
		labels[m[1]] = names
	}
	return labels
}

func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(contents(t, monitoring, "grafana-dashboard.json"), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q has no query", p.Title)
		}
		for _, q := range p.Targets {
			queries = append(queries, q.Expr)
		}
	}
	return queries
}

// alertQueries returns the queries of the alert rules, each of which says what it is
// about and stands in the page that says what to do.
func alertQueries(t *testing.T) (queries []string) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary string }
			}
		}
	}
	if err := yaml.Unmarshal(contents(t, monitoring, "alerts.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Annotations.Summary == "" || !strings.Contains(string(page), "`"+r.Alert+"`") {
				t.Errorf("alert %s has no summary, or is not in docs/monitoring.md", r.Alert)
			}
			queries = append(queries, r.Expr)
		}
	}
	return queries
}
