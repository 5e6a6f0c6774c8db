package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// says runs a command line that needs no service.
func says(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

// TestHelp: every command says what it is for and what its flags take, in lines that
// fit on a terminal.
func TestHelp(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/home/somebody/.local/share")
	everyCommand(newRoot(&app{}, subcommands()...), func(cmd *cobra.Command, own []*pflag.Flag) {
		if !strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s is said to be for %q, which is no sentence", cmd.CommandPath(), cmd.Short)
		}
		for _, f := range own {
			value, usage := pflag.UnquoteUsage(f)
			if value != strings.ToUpper(value) || (value == "") != (f.Value.Type() == "bool") || !strings.HasSuffix(usage, ".") {
				t.Errorf("%s --%s takes %q, and does this: %q", cmd.CommandPath(), f.Name, value, usage)
			}
		}
		if cmd.HasParent() {
			_, page, _ := says(t, strings.Fields(cmd.CommandPath() + " --help")[1:]...)
			narrow(t, page)
			if _, again, _ := says(t, append([]string{"help"}, strings.Fields(cmd.CommandPath())[1:]...)...); again != page {
				t.Errorf("diskport help says of %s:\n%s", cmd.CommandPath(), cmp.Diff(page, again))
			}
		}
	})
	code, page, _ := says(t, "--help")
	narrow(t, page)
	for _, want := range []string{"Usage: diskport COMMAND", "Main commands:\n", "  import ", "  completion ", "  help ", "  --data DIR "} {
		if code != exitOK || !strings.Contains(page, want) {
			t.Errorf("exit code %d; the help lacks %q:\n%s", code, want, page)
		}
	}
}

// narrow checks that no line of a page is too long.
func narrow(t *testing.T, page string) {
	t.Helper()
	for line := range strings.Lines(page) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("too long: %s", line)
		}
	}
}

// What a terminal is wide decides where lines end, and no word is lost.
func TestHelpIsAsWideAsTheTerminal(t *testing.T) {
	const text = "Where these keys assume the service role for --source-endpoint: aws, a URL, or none."
	for _, width := range []int{20, 40, 60, 100} {
		lines := wrap(text, width)
		for _, line := range lines {
			if len(line) > width {
				t.Errorf("%d columns: %q", width, line)
			}
		}
		if got := strings.Join(lines, " "); got != text || len(lines) > len(text)/width*2+1 {
			t.Errorf("%d columns: %q", width, lines)
		}
		var out bytes.Buffer
		page{&out, width}.columns([][2]string{{"--a-flag-that-is-far-too-long", text}, {"--short", text}})
		if got := strings.Count(out.String(), "\n"); got != 1+2*len(wrap(text, width-len("  --short  "))) {
			t.Errorf("%d columns: %d lines:\n%s", width, got, &out)
		}
	}
}

// TestExamples: what the help shows has the flags and arguments of its command.
func TestExamples(t *testing.T) {
	examples := 0
	everyCommand(newRoot(&app{}, subcommands()...), func(cmd *cobra.Command, _ []*pflag.Flag) {
		for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
			line, _, _ = strings.Cut(strings.ReplaceAll(line, `"build 17"`, "build-17"), "|")
			words := strings.Fields(line)
			if words[0] != "diskport" {
				continue
			}
			examples++
			args := words[strings.Count(cmd.CommandPath(), " ")+1:]
			if err := cmd.ParseFlags(args); err != nil || !strings.HasPrefix(line, "  "+cmd.CommandPath()) {
				t.Errorf("%s: %v", line, err)
			} else if err := cmd.Args(cmd, cmd.Flags().Args()); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	})
	if examples < 20 {
		t.Errorf("%d examples were looked at", examples)
	}
}

// Without a command, the program says what to do first.
func TestFirstPage(t *testing.T) {
	code, page, stderr := says(t)
	narrow(t, page)
	for _, want := range []string{"diskport demo ", "diskport import IMAGE ", "diskport serve ", `eval "$(diskport env)"`, "  convert, inspect, map\n", "diskport --help"} {
		if code != exitOK || stderr != "" || !strings.Contains(page, want) {
			t.Errorf("exit code %d, %q; the page lacks %q:\n%s", code, stderr, want, page)
		}
	}
}

func TestWhatIsMeant(t *testing.T) {
	for line, want := range map[string]string{
		"imprt disk.raw":              "Did you mean this?\n\timport\nSee diskport --help.",
		"frobnicate":                  `unknown command "frobnicate"`,
		"account ad":                  "did you mean add?\nSee diskport account --help.",
		"account":                     "account needs one of: add, list, remove",
		"help imprt":                  "Did you mean this?\n\timport\nSee diskport --help.",
		"help account ad":             "did you mean add?",
		"import --fromat x":           "did you mean --format?\nSee diskport import --help.",
		"inspect -format x":           "did you mean --format?",
		"import --tag x a":            `"x" is not KEY=VALUE`,
		"import":                      "IMAGE is missing\nSee diskport import --help.",
		"convert a":                   "OUT is missing",
		"snapshot snap-1 b":           `unexpected argument "b"`,
		"verify --all-regions snap-1": "leave out their ids",
		"verify --repair snap-1":      "say --from IMAGE",
		"verify --rebuild snap-1":     "--rebuild is about the whole store",
		"verify --from x snap-1":      "--from goes with --repair",
	} {
		t.Run(line, func(t *testing.T) {
			code, stdout, stderr := says(t, strings.Fields(line)...)
			if code != exitUsage || stdout != "" || !strings.Contains(stderr, want) {
				t.Errorf("exit code %d, printed %q, said %q, want %q", code, stdout, stderr, want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	_, want, _ := says(t, "version")
	if code, got, _ := says(t, "--version"); code != exitOK || got != want || !strings.HasPrefix(got, "diskport ") {
		t.Errorf("exit code %d, %q, want %q", code, got, want)
	}
}

func TestCompletion(t *testing.T) {
	t.Setenv("DISKPORT_RESERV", "completing goes on")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, script, stderr := says(t, "completion", shell); code != exitOK || len(script) < 1000 || stderr != "" {
			t.Errorf("%s: exit code %d, %d bytes, %q", shell, code, len(script), stderr)
		}
	}
	for line, want := range map[string]string{
		"im":                     "import\tImport disk images as snapshots.\n:4\n",
		"serve --failed-status ": "deleted\nerror\n:4\n",
		"inspect --scratch ":     ":16\n", // folders
		"inspect --with ":        ":0\n",  // files
		"inspect ":               ":0\n",
		"snapshot ":              ":4\n", // neither
		"tasks --region ":        ":4\n",
		"account rem":            "remove\tRemove accounts",
		"--da":                   "--data\tData directory",
	} {
		words := strings.Split(line, " ")
		if code, got, _ := says(t, append([]string{"__complete"}, words...)...); code != exitOK || !strings.Contains(got, want) {
			t.Errorf("%q: exit code %d, %q, want %q", line, code, got, want)
		}
	}
}

// TestManPages makes the manual pages, one for each command, from the help; scripts/man
// has it keep them.
func TestManPages(t *testing.T) {
	dir := os.Getenv("DISKPORT_TEST_MAN")
	if dir == "" {
		dir = t.TempDir()
	}
	t.Setenv("XDG_DATA_HOME", "~/.local/share") // rather than somebody's own
	root := newRoot(&app{}, subcommands()...)
	root.DisableAutoGenTag = true
	everyCommand(root, func(_ *cobra.Command, own []*pflag.Flag) {
		for _, f := range own {
			for _, name := range envNames(f) {
				f.Usage += " [$" + name + "]"
			}
		}
	})
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Diskport", Manual: "Diskport"}, dir); err != nil {
		t.Fatal(err)
	}
	everyCommand(root, func(cmd *cobra.Command, own []*pflag.Flag) {
		if cmd.Name() == "help" { // cobra leaves it out
			return
		}
		page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Error(err)
		}
		for _, f := range own {
			if !f.Hidden && !strings.Contains(string(page), `--`+f.Name) {
				t.Errorf("the page of %s lacks --%s", cmd.CommandPath(), f.Name)
			}
		}
	})
}
