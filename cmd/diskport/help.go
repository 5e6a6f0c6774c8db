package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

type helpCmd struct{}

func (c *helpCmd) command(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Show the help of a command.",
		RunE:  func(cmd *cobra.Command, args []string) error { return c.run(a, cmd.Root(), args) },
	}
}

// run prints the help of the command that args name.
func (c *helpCmd) run(a *app, root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil {
		return unknownCommand(err)
	}
	if len(rest) > 0 {
		return &usageError{noSubcommand(cmd, rest)}
	}
	writeHelp(a.stdout, cmd)
	return nil
}

// page writes lines that are not longer than the terminal is wide.
type page struct {
	io.Writer
	width int // columns
}

func newPage(w io.Writer) page {
	p := page{w, 80}
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			p.width = min(max(width, 40), 100)
		}
	}
	return p
}

func (p page) line(format string, args ...any) { _, _ = fmt.Fprintf(p, format+"\n", args...) }

// paragraph writes text, wrapped, after the margin that the first line already has.
func (p page) paragraph(margin int, text string) {
	for i, line := range wrap(text, p.width-margin) {
		if i > 0 {
			_, _ = fmt.Fprint(p, strings.Repeat(" ", margin))
		}
		p.line("%s", line)
	}
}

// columns writes names with what is to be said of them, which begins in the same
// column everywhere but beside names that are very long.
func (p page) columns(rows [][2]string) {
	const longest = 24
	column := 0
	for _, row := range rows {
		if n := utf8.RuneCountInString(row[0]); n <= longest {
			column = max(column, n)
		}
	}
	for _, row := range rows {
		if utf8.RuneCountInString(row[0]) > longest {
			p.line("  %s", row[0])
			row[0] = ""
		}
		_, _ = fmt.Fprintf(p, "  %-*s  ", column, row[0])
		p.paragraph(column+4, row[1])
	}
}

// wrap cuts text into lines of at most width columns, if its words allow it.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}

// writeFirstPage says to somebody who knows nothing what to do first.
func writeFirstPage(w io.Writer, root *cobra.Command) error {
	p := newPage(w)
	p.line("%s\n\nWhat to do first:", root.Short)
	p.columns([][2]string{
		{"diskport demo", "see it work, on a disk image made for it"},
		{"diskport import IMAGE", "import a disk image and print the snapshot's id; no service needs to run"},
		{"diskport serve", "run the service, for the AWS CLI and every SDK; then, in another shell:"},
		{`eval "$(diskport env)"`, "tell them where it is: aws ec2 import-snapshot …"},
	})
	for _, g := range root.Groups() {
		var names []string
		for _, cmd := range root.Commands() {
			if cmd.GroupID == g.ID && shown(cmd) {
				names = append(names, cmd.Name())
			}
		}
		p.line("\n%s:", g.Title)
		_, _ = fmt.Fprint(p, "  ")
		p.paragraph(2, list(names))
	}
	_, err := fmt.Fprintln(w, "\ndiskport --help says what each does, diskport help COMMAND how, with examples.")
	return err
}

// writeHelp writes the help of a command.
func writeHelp(w io.Writer, cmd *cobra.Command) {
	p := newPage(w)
	cmd.InitDefaultHelpFlag() // cobra takes in the flags of every command
	_, _ = fmt.Fprint(p, "Usage: ")
	p.paragraph(7, cmd.UseLine())
	for text := range strings.SplitSeq(cmp.Or(cmd.Long, cmd.Short), "\n\n") {
		p.line("")
		p.paragraph(0, text)
	}
	if cmd.Example != "" {
		p.line("\nExamples:\n%s", cmd.Example)
	}
	p.commands(cmd)
	p.flags(cmd)
	if cmd.HasAvailableSubCommands() {
		p.line("\nSee %s COMMAND --help for the flags of a command.", cmd.CommandPath())
	}
}

// commands lists the commands below cmd, in their groups.
func (p page) commands(cmd *cobra.Command) {
	titles := map[string]string{"": "Commands"}
	order := []string{""}
	for _, g := range cmd.Groups() {
		titles[g.ID] = g.Title
		order = append(order, g.ID)
	}
	for _, id := range order {
		var rows [][2]string
		for _, sub := range cmd.Commands() {
			if sub.GroupID == id && shown(sub) {
				rows = append(rows, [2]string{sub.Name(), sub.Short})
			}
		}
		if len(rows) > 0 {
			p.line("\n%s:", titles[id])
			p.columns(rows)
		}
	}
}

// shown reports whether a command is listed; cobra leaves help out.
func shown(cmd *cobra.Command) bool { return cmd.IsAvailableCommand() || cmd.Name() == "help" }

// flags lists the flags of cmd: its own by their sections, then those of every
// command.
func (p page) flags(cmd *cobra.Command) {
	const own, inherited = "Flags", "Flags of every command"
	rows := map[string][][2]string{}
	titles := []string{own}
	add := func(title string, f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if s := f.Annotations[sectionAnnotation]; len(s) > 0 {
			title = s[0]
		}
		if len(rows[title]) == 0 && title != own {
			titles = append(titles, title)
		}
		rows[title] = append(rows[title], [2]string{flagName(f), flagText(f)})
	}
	global := cmd.Root().PersistentFlags()
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if global.Lookup(f.Name) == nil {
			add(own, f)
		}
	})
	global.VisitAll(func(f *pflag.Flag) { add(inherited, f) })
	for _, title := range titles {
		if len(rows[title]) > 0 {
			p.line("\n%s:", title)
			p.columns(rows[title])
		}
	}
}

// flagName renders a flag as it is typed: --format FORMAT.
func flagName(f *pflag.Flag) string {
	value, _ := pflag.UnquoteUsage(f)
	name := strings.TrimSpace("--" + f.Name + " " + value)
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", " + name
	}
	return name
}

// flagText says what a flag does, what its default is, and which environment variables
// it has.
func flagText(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	var more []string
	switch f.DefValue {
	case "", "[]", "false":
	default:
		more = append(more, "default "+strings.Trim(f.DefValue, "[]"))
	}
	for _, name := range envNames(f) {
		more = append(more, "$"+name)
	}
	if len(more) > 0 {
		text += " [" + list(more) + "]"
	}
	return text
}
