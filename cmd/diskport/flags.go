package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Flags are declared with pflag's own functions and those below. A usage is a full
// sentence that names the flag's value once, in back quotes and capitals. Everything
// else follows from that: the environment variable and the key in the configuration
// file (settings.go), the help (help.go), what a shell completes.

// section puts the flags that declare adds under a title of their own in the help.
func section(fs *pflag.FlagSet, title string, declare func(*pflag.FlagSet)) {
	own := pflag.NewFlagSet(title, pflag.ContinueOnError)
	own.SortFlags = false
	declare(own)
	own.VisitAll(func(f *pflag.Flag) { annotate(f, sectionAnnotation, title) })
	fs.AddFlagSet(own)
}

// Keys of annotations.
const (
	sectionAnnotation = "diskport_section" // the title in the help
	envAnnotation     = "diskport_env"     // the environment variables
	fileAnnotation    = "diskport_file"    // there if the configuration file may have it
)

func annotate(f *pflag.Flag, key string, values ...string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[key] = values
}

// pathFlag is a file or folder that a flag names. It is made absolute, and ~ is the home
// directory, which a shell does not put into --flag=~/file.
type pathFlag struct{ p *string }

func pathVar(fs *pflag.FlagSet, p *string, name, usage string) { fs.Var(pathFlag{p}, name, usage) }

func (v pathFlag) String() string { return deref(v.p) }
func (v pathFlag) Type() string   { return "path" }

func (v pathFlag) Set(text string) (err error) {
	*v.p, err = absolutePath(text)
	return err
}

// absolutePath returns a path as it is from anywhere; "-" stays.
func absolutePath(text string) (string, error) {
	if rest, ok := strings.CutPrefix(text, "~"); ok && (rest == "" || rest[0] == '/') {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the home directory: %w", err)
		}
		text = home + rest
	}
	if text == "-" || text == "" {
		return text, nil
	}
	return filepath.Abs(text)
}

// pathsFlag are the files that a flag names which can be repeated.
type pathsFlag struct{ p *[]string }

func pathsVar(fs *pflag.FlagSet, p *[]string, name, usage string) { fs.Var(pathsFlag{p}, name, usage) }

func (v pathsFlag) String() string { return list(deref(v.p)) }
func (v pathsFlag) Type() string   { return "paths" }

func (v pathsFlag) Set(text string) error {
	p, err := absolutePath(text)
	*v.p = append(*v.p, p)
	return err
}

// placesFlag are the files, or buckets of an S3, that a flag names which can be repeated.
type placesFlag struct{ p *[]string }

func (v placesFlag) String() string { return list(deref(v.p)) }
func (v placesFlag) Type() string   { return "places" }

func (v placesFlag) Set(text string) (err error) {
	if !strings.HasPrefix(text, "s3://") {
		text, err = absolutePath(text)
	}
	*v.p = append(*v.p, text)
	return err
}

// choiceFlag is a flag that takes one of some words.
type choiceFlag struct {
	p     *string
	among []string
}

// choiceVar declares a flag that takes one of some words; the first is the default.
func choiceVar(fs *pflag.FlagSet, p *string, name, usage string, among ...string) {
	*p = among[0]
	fs.Var(choiceFlag{p, among}, name, usage)
}

func (v choiceFlag) String() string { return deref(v.p) }
func (v choiceFlag) Type() string   { return "choice" }

func (v choiceFlag) Set(text string) error {
	if !slices.Contains(v.among, text) {
		return errors.New("must be one of " + list(v.among))
	}
	*v.p = text
	return nil
}

// tagsFlag are the KEY=VALUE pairs of a flag that can be repeated.
type tagsFlag struct{ p *map[string]string }

func tagsVar(fs *pflag.FlagSet, p *map[string]string, name, usage string) {
	fs.Var(tagsFlag{p}, name, usage)
}

func (v tagsFlag) String() string { return tags(deref(v.p)) }
func (v tagsFlag) Type() string   { return "tags" }

func (v tagsFlag) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" {
		return fmt.Errorf("%q is not KEY=VALUE", text)
	}
	if *v.p == nil {
		*v.p = map[string]string{}
	}
	(*v.p)[key] = value
	return nil
}

// deref returns what p points at; pflag asks values that point nowhere too.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func list(words []string) string { return strings.Join(words, ", ") }

// takes returns a check of the arguments of cmd by its line of usage: NAME is needed,
// [NAME] is not, and ... is any number of them.
func takes(cmd *cobra.Command) cobra.PositionalArgs {
	names := strings.Fields(cmd.Use)[1:]
	least, most := 0, len(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
		if strings.Contains(name, "...") {
			most = -1
		}
	}
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &usageError{fmt.Errorf("%s is missing", strings.TrimSuffix(names[len(args)], "..."))}
		case most >= 0 && len(args) > most:
			return &usageError{fmt.Errorf("unexpected argument %q", args[most])}
		}
		return nil
	}
}

// flagError turns pflag's errors into errors of usage, with the flag that may have
// been meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return &usageError{err}
	}
	name := unknown.GetSpecifiedName()
	if letters := unknown.GetSpecifiedShortnames(); letters != "" {
		name, _, _ = strings.Cut(letters, "=") // -format for --format
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, "--"+f.Name)
		}
	})
	return &usageError{fmt.Errorf("%w%s", err, didYouMean("--"+name, known))}
}

// didYouMean returns what to add to an error about a word that is none of the known
// ones.
func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// nearest returns the known word that begins with word, or else that it takes the
// fewest edits to make of it; "" if these would be more than a third of its letters.
func nearest(word string, known []string) string {
	best, fewest := "", max(2, len(word)/3)+1
	for _, k := range known {
		n := edits(word, k)
		if strings.HasPrefix(k, word) {
			n = 0
		}
		if n < fewest {
			best, fewest = k, n
		}
	}
	return best
}

// edits returns how many bytes have to be inserted, deleted or replaced to make b of
// a: their Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1) // distances of a prefix of a from every prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			n := diagonal
			if a[i] != b[j] {
				n = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], n
		}
	}
	return row[len(b)]
}

// completeArguments says what a shell completes behind cmd: files where its arguments
// are files.
func completeArguments(cmd *cobra.Command) {
	for _, word := range strings.Fields(cmd.Use) {
		switch strings.Trim(word, "[].") {
		case "IMAGE", "FILE", "OUT":
			return // cobra's default is files
		}
	}
	if cmd.ValidArgsFunction == nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
}

// completeFlags says what a shell completes behind each flag of cmd that is in fs.
func completeFlags(cmd *cobra.Command, fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) {
		var complete cobra.CompletionFunc
		kind, _ := pflag.UnquoteUsage(f)
		switch v := f.Value.(type) {
		case choiceFlag:
			complete = cobra.FixedCompletions(v.among, cobra.ShellCompDirectiveNoFileComp)
		default:
			switch kind {
			case "FILE": // cobra's default
				return
			case "DIR":
				complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
			default:
				complete = cobra.NoFileCompletions
			}
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // fails only for flags that cmd does not have
	})
}
