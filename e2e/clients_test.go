package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// recipe is a page of docs/clients that is being followed.
type recipe struct {
	*service
	dir string // where the page's files are, and its commands run
	raw string // the disk that is in disk.raw and disk.vmdk there
}

// recipes has a line for each page of docs/clients: what must be true once it has
// been followed to its end. That no command failed proves little.
var recipes = map[string]func(*testing.T, *recipe){
	"aws-cli": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 0)
	},
	"boto3": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 1)
	},
	"go": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 1)
	},
	"javascript": func(t *testing.T, r *recipe) {
		r.readBack(t, "back.raw", "disk.raw")
		r.imported(t, 1)
	},
}

// TestClients follows each page of docs/clients to the letter: a block of code that
// names a file is that file, and those in sh are one script.
func TestClients(t *testing.T) {
	pages, err := filepath.Glob("../docs/clients/*.md")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, path := range pages {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		if name == "README" {
			continue
		}
		outcome := recipes[name]
		if outcome == nil {
			t.Errorf("nothing says what must be true at the end of %s", path)
			continue
		}
		tested++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcome(t, follow(t, path))
		})
	}
	if tested != len(recipes) {
		t.Errorf("%d pages of %d are there", tested, len(recipes))
	}
}

// TestClientsAreListed: the table of docs/clients/README.md has all pages.
func TestClientsAreListed(t *testing.T) {
	index, err := os.ReadFile("../docs/clients/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range recipes {
		if !strings.Contains(string(index), "("+name+".md)") {
			t.Errorf("docs/clients/README.md does not name %s", name)
		}
	}
}

// fence matches a block of code: its language, the file that it is, and its text.
var fence = regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?\n(.*?)^```$")

// follow does what a page says, against a service of its own.
func follow(t *testing.T, page string) *recipe {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	data, dir := t.TempDir(), t.TempDir()
	r := &recipe{service: start(t, data), dir: dir, raw: smallRaw(t, dir, "disk.raw")}
	convert(t, r.raw, "disk.vmdk", "-O vmdk -o subformat=streamOptimized")
	goModule(t, dir)
	javascriptModules(t, dir)

	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	blocks := fence.FindAllStringSubmatch(string(text), -1)
	if fences := strings.Count("\n"+string(text), "\n```"); len(blocks) == 0 || fences != 2*len(blocks) {
		t.Fatalf("%s has %d fences, of which %d blocks are understood", page, fences, len(blocks))
	}
	for _, b := range blocks {
		switch language, name, code := b[1], b[2], b[3]; {
		case name != "":
			writeFile(t, dir, name, code)
		case language == "sh":
			script.WriteString(code)
		default:
			t.Errorf("%s: a block of %s neither has a file's name nor is it run", page, language)
		}
	}
	cmd := exec.Command("bash", "-x", "-c", script.String())
	cmd.Dir, cmd.Env = dir, r.clientEnv(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("following %s: %v\n%s", page, err, out)
	}
	return r
}

// clientEnv is the environment of a user who has Debian's programs, nothing set up, and
// the service on his own data directory.
func (r *recipe) clientEnv(t *testing.T) []string {
	t.Helper()
	var first []string // other programs of these names are no substitutes
	for _, program := range []string{"diskport", "go"} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, filepath.Dir(path))
	}
	path := strings.Join(append(first, "/usr/bin", "/bin", os.Getenv("PATH")), ":")
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "AWS_") || strings.HasPrefix(kv, "HOME=") || strings.HasPrefix(kv, "PATH=")
	})
	caches, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache := strings.Fields(string(caches))
	return append(env, "HOME="+t.TempDir(), "PATH="+path, "DISKPORT_DATA="+r.data, "AWS_PAGER=", "GOCACHE="+cache[0], "GOMODCACHE="+cache[1])
}

// goModule makes a module in dir that has what this one has, so that no other versions
// are compiled.
func goModule(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile("../" + name)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, name, strings.Replace(string(text), "module github.com/diskport/diskport", "module example.com/import", 1))
	}
}

// imported checks that there are as many snapshots as expected, and that each is the disk.
func (r *recipe) imported(t *testing.T, want int) {
	t.Helper()
	found, err := r.Snapshots(t.Context())
	if err != nil || len(found) != want {
		t.Errorf("%d snapshots %+v, %v, want %d", len(found), found, err, want)
	}
	for _, s := range found {
		r.sameDisk(t, s.ID, r.raw)
	}
}

// readBack compares files that the client read back with what it had written.
func (r *recipe) readBack(t *testing.T, got, want string) {
	t.Helper()
	equalFiles(t, filepath.Join(r.dir, got), filepath.Join(r.dir, want))
}

// javascriptModules puts into dir what scripts/test-setup has installed.
func javascriptModules(t *testing.T, dir string) {
	t.Helper()
	modules, err := filepath.Abs("../.cache/javascript/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
}
