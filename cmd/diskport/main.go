// Command diskport turns disk images into EBS snapshots on machines of your own:
// the service (serve), the import that starts one in-process if none runs, and the
// tools around both. One file per subcommand; what they share is how they find the
// service (service.go) and how they print (print.go).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/diskport/diskport/internal/client"
)

// The exit codes.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
)

// cli is the command line.
type cli struct {
	globals

	Serve     serveCmd     `cmd:"" help:"Run the service: every AWS endpoint and the workers."`
	Import    importCmd    `cmd:"" help:"Import disk images as snapshots."`
	Tasks     tasksCmd     `cmd:"" help:"List import tasks."`
	Task      taskCmd      `cmd:"" help:"Watch an import task until it ends."`
	Cancel    cancelCmd    `cmd:"" help:"Cancel import tasks."`
	Snapshots snapshotsCmd `cmd:"" help:"List snapshots with their sizes."`
	Snapshot  snapshotCmd  `cmd:"" help:"Show a snapshot."`
	Delete    deleteCmd    `cmd:"" help:"Delete snapshots."`
	Export    exportCmd    `cmd:"" help:"Write a snapshot to a sparse raw file, verified."`
	Inspect   inspectCmd   `cmd:"" help:"Say what a disk image is: format, variant, sizes, warnings."`
	Map       mapCmd       `cmd:"" help:"List which parts of a disk image hold data."`
	Convert   convertCmd   `cmd:"" help:"Convert a disk image to a sparse raw file."`
	Verify    verifyCmd    `cmd:"" help:"Read snapshots back and check every block."`
	Compact   compactCmd   `cmd:"" help:"Rewrite packs smaller, so that space comes back."`
	Stats     statsCmd     `cmd:"" help:"Show what the store holds and takes."`
	GC        gcCmd        `cmd:"" name:"gc" help:"Free what no snapshot references."`
	Account   accountCmd   `cmd:"" help:"Make, list and remove accounts."`
	Env       envCmd       `cmd:"" help:"Print settings for AWS clients: eval \"$(diskport env)\"."`
	Demo      demoCmd      `cmd:"" help:"Show the main job on a disk image made for it."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// globals are the flags of every subcommand.
type globals struct {
	Config   kong.ConfigFlag `placeholder:"FILE" help:"Read settings from a YAML file: flag names as keys."`
	Endpoint string          `env:"AWS_ENDPOINT_URL" placeholder:"URL" help:"Service to talk to. Default: the one running on the data directory, else one started for this command alone."`
	Data     string          `env:"DISKPORT_DATA" default:"${data}" placeholder:"DIR" help:"Data directory (${default})."`
	Region   string          `env:"DISKPORT_REGION" placeholder:"REGION" help:"AWS region: the service's own, and the one that a command is about. Default: AWS_REGION (not for serve), else what was last used on the data directory, else us-east-1."`
}

// app is what every subcommand runs with.
type app struct {
	globals
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// run parses args, runs the subcommand and returns the exit code.
func run(ctx context.Context, args []string, a *app) int {
	var c cli
	exited := -1
	parser, err := newParser(&c, kong.Writers(a.stdout, a.stderr), kong.Exit(func(code int) { exited = code }))
	if err != nil {
		return a.fail(err)
	}
	kctx, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		return a.fail(&usageError{err})
	}
	a.globals = c.globals
	kctx.BindTo(ctx, (*context.Context)(nil))
	return a.fail(kctx.Run(a))
}

// newParser returns a parser for the command line, the environment and a
// configuration file, in this order of precedence.
func newParser(grammar any, options ...kong.Option) (*kong.Kong, error) {
	options = append(options,
		kong.Name("diskport"),
		kong.Description("Turns disk images into EBS snapshots on machines of your own."),
		kong.Configuration(readConfig),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"data": defaultData()},
	)
	return kong.New(grammar, options...)
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

// fail prints err and returns its exit code.
func (a *app) fail(err error) int {
	if err == nil {
		return exitOK
	}
	if !errors.Is(err, errReported) {
		_, _ = fmt.Fprintln(a.stderr, "diskport:", client.Explain(err))
	}
	var u *usageError
	switch {
	case errors.As(err, &u):
		_, _ = fmt.Fprintln(a.stderr, "See diskport --help.")
		return exitUsage
	case client.IsNotFound(err), errors.Is(err, os.ErrNotExist):
		return exitNotFound
	}
	return exitFailed
}
