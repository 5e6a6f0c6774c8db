// Command diskport turns disk images into EBS snapshots on machines of your own:
// the service (serve), the import that starts one in-process if none runs, and the
// tools around both. One file per subcommand; what they share is how flags get their
// values (settings.go), how help looks (help.go), how they find the service
// (service.go) and how they print (print.go).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/diskport/diskport/internal/client"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitInterrupted = 130 // as shells have it for Ctrl-C
)

// globals are the flags of every subcommand.
type globals struct {
	Config   string
	Endpoint string
	Data     string
	Region   string
}

func (g *globals) declare(fs *pflag.FlagSet) {
	pathVar(fs, &g.Config, "config", "Read settings from a YAML `FILE`: flag names as keys.")
	fs.StringVar(&g.Endpoint, "endpoint", "", "Service to talk to, by its `URL`. Default, and whatever the environment says if --data is given: the one running on the data directory, else one started for this command alone.")
	setEnv(fs, "endpoint", "DISKPORT_ENDPOINT", "AWS_ENDPOINT_URL")
	fs.StringVar(&g.Data, "data", defaultData(), "Data directory: `DIR`.")
	fs.StringVar(&g.Region, "region", "", "AWS `REGION`: the service's own, and the one that a command is about. Default: AWS_REGION (not for serve), else what was last used on the data directory, else us-east-1.")
	mayBeInFile(fs)
}

// app is what every subcommand runs with.
type app struct {
	globals
	file   configFile // what --config names; nil without it
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	unprinted error // why say could not print something; the command fails with it
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends what does not heed the first
	stopProfile := startProfile()
	code := run(ctx, os.Args[1:], &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stopProfile()
	stop()
	os.Exit(code)
}

// run parses args, runs the subcommand and returns the exit code.
func run(ctx context.Context, args []string, a *app) int {
	root := newRoot(a, subcommands()...)
	root.SetArgs(append([]string{}, args...)) // cobra takes nil for the process's own
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && cmd.CalledAs() == "" { // cobra has not found the command
		err = unknownCommand(err)
	}
	if err == nil {
		err = a.unprinted
	}
	return a.exit(ctx, cmd, err)
}

// subcommand is the options of a subcommand, and makes the subcommand.
type subcommand interface {
	command(a *app) *cobra.Command
}

// group is some subcommands that belong together.
type group struct {
	title    string
	commands []subcommand
}

// subcommands returns the command line.
func subcommands() []group {
	return []group{
		{"Main commands", []subcommand{&demoCmd{}, &importCmd{}, &serveCmd{}, &envCmd{}}},
		{"Tasks and snapshots", []subcommand{&tasksCmd{}, &taskCmd{}, &cancelCmd{}, &snapshotsCmd{}, &snapshotCmd{}, &diffCmd{}, &deleteCmd{}, &exportCmd{}}},
		{"Disk images in files", []subcommand{&inspectCmd{}, &mapCmd{}, &convertCmd{}}},
		{"Operations", []subcommand{&doctorCmd{}, &roleCmd{}, &verifyCmd{}, &backupCmd{}, &restoreCmd{}, &compactCmd{}, &rotateKeyCmd{}, &statsCmd{}, &gcCmd{}, &accountCmd{}}},
		{"About diskport", []subcommand{&helpCmd{}, &versionCmd{}}},
	}
}

// newRoot returns the command line with some subcommands, which run with a.
func newRoot(a *app, groups ...group) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:                        "diskport COMMAND",
		Short:                      "Turns disk images into EBS snapshots on machines of your own.",
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return (&versionCmd{}).run(a)
			}
			return writeFirstPage(a.stdout, cmd)
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(a.stdout, cmd) })
	root.SetFlagErrorFunc(flagError)
	a.declare(root.PersistentFlags())
	root.PersistentFlags().BoolP("help", "h", false, "Show the help of a command.")
	root.Flags().SortFlags, root.PersistentFlags().SortFlags = false, false
	root.Flags().BoolVar(&version, "version", false, "Print the version.")
	setEnv(root.Flags(), "version")
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			cmd := c.command(a)
			cmd.GroupID = g.title
			root.AddCommand(cmd)
			a.finish(cmd)
		}
		root.SetCompletionCommandGroupID(g.title) // the last one
	}
	addCompletion(root)
	completeFlags(root, root.PersistentFlags())
	if help, _, err := root.Find([]string{"help"}); err == nil {
		root.SetHelpCommand(help)
	}
	return root
}

// finish adds to a command, and to those below it, what is the same for all.
func (a *app) finish(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args, cmd.RunE = nil, func(cmd *cobra.Command, args []string) error { return &usageError{noSubcommand(cmd, args)} }
	} else {
		cmd.Args = takes(cmd)
	}
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, check := range []func() error{func() error { return a.settle(cmd) }, cmd.ValidateRequiredFlags, cmd.ValidateFlagGroups} {
			if err := check(); err != nil {
				return &usageError{err}
			}
		}
		return nil
	}
	cmd.Flags().SortFlags = false
	completeArguments(cmd)
	completeFlags(cmd, cmd.LocalFlags())
	for _, sub := range cmd.Commands() {
		a.finish(sub)
	}
}

// addCompletion adds cobra's command that prints scripts for shells. It takes no
// settings, so that a shell that runs it when it starts gets a script whatever they are.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd, _, err := root.Find([]string{"completion"})
	if err != nil || cmd == root {
		return // cobra leaves it out where there are no commands
	}
	cmd.Use, cmd.Short = "completion SHELL", "Print a script with which a shell completes commands and flags."
	cmd.Long = cmd.Short + " The help of each shell says where to put it."
	cmd.Example = "  source <(diskport completion bash)"
	cmd.Args, cmd.RunE = nil, func(cmd *cobra.Command, args []string) error { return &usageError{noSubcommand(cmd, args)} }
	for _, shell := range cmd.Commands() {
		shell.Flags().VisitAll(func(f *pflag.Flag) { setEnv(shell.Flags(), f.Name) })
	}
}

// defaultData returns the data directory that is used when none is given.
func defaultData() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "diskport")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "/var/lib/diskport"
	}
	return filepath.Join(home, ".local", "share", "diskport")
}

// usageError is an error of the command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// errReported says that the command failed and has printed why.
var errReported = errors.New("failed")

// exit prints what cmd ended with and returns the exit code.
func (a *app) exit(ctx context.Context, cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errReported) {
		a.note("diskport: %s", explain(ctx, err))
	}
	var u *usageError
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &u):
		if cmd.Name() == "help" {
			cmd = cmd.Root()
		}
		a.note("See %s --help.", cmd.CommandPath())
		return exitUsage
	case client.IsNotFound(err), errors.Is(err, os.ErrNotExist):
		return exitNotFound
	}
	return exitFailed
}

// explain returns err for a person.
func explain(ctx context.Context, err error) string {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	said := err
	if _, ok := errors.AsType[*startError](err); ok {
		said = errors.New(err.Error())
	}
	text := client.Explain(said)
	if full, ok := errors.AsType[*fullError](err); ok {
		text += "\n" + full.state
	}
	if errors.Is(err, os.ErrExist) {
		text += ": nothing is overwritten, so name another file, or remove this one"
	}
	return text
}

// unknownCommand turns cobra's error about a command, which may end with those that may
// have been meant, into an error of usage.
func unknownCommand(err error) error { return &usageError{errors.New(strings.TrimSpace(err.Error()))} }

// noSubcommand says that args don't begin with a command below cmd.
func noSubcommand(cmd *cobra.Command, args []string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	if len(args) == 0 {
		return fmt.Errorf("%s needs one of: %s", cmd.Name(), list(names))
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), didYouMean(args[0], names))
}
