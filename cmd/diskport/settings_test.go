package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// everyCommand calls f with each command of the command line, but for cobra's own of
// completion, and with the flags that it has by itself.
func everyCommand(root *cobra.Command, f func(cmd *cobra.Command, own []*pflag.Flag)) {
	var own []*pflag.Flag
	root.LocalFlags().VisitAll(func(flag *pflag.Flag) { own = append(own, flag) })
	f(root, own)
	for _, cmd := range root.Commands() {
		if root.Name() != "completion" {
			everyCommand(cmd, f)
		}
	}
}

// TestEveryFlagHasAnEnvironmentVariable that gives it its value and that the help
// names: one that had none would be ignored in silence.
func TestEveryFlagHasAnEnvironmentVariable(t *testing.T) {
	samples := map[string]string{"bool": "true", "int": "7", "int64": "7", "size": "1MiB", "duration": "3s", "tags": "a=b"}
	// Flags of a single call, never of all.
	once := []string{
		"diskport --help", "diskport --version", "diskport serve --accept-older-database", "diskport serve --replace-root-key",
		"diskport import --name", "diskport role --print", "diskport rotate-key --list", "diskport rotate-key --snapshot", "diskport rotate-key --kms-key", "diskport rotate-key --domain",
		"diskport verify --repair", "diskport verify --from", "diskport verify --rebuild",
		"diskport rotate-key --master", "diskport rotate-key --rewrap",
		"diskport backup --include-master-key", "diskport restore --at", "diskport restore --partial", "diskport restore --accept-unproven", "diskport restore --list",
	}
	a := &app{}
	flags := 0
	everyCommand(newRoot(a, subcommands()...), func(cmd *cobra.Command, own []*pflag.Flag) {
		var help strings.Builder
		writeHelp(&help, cmd)
		for _, f := range own {
			names := envNames(f)
			if name := cmd.CommandPath() + " --" + f.Name; slices.Contains(once, name) {
				if len(names) > 0 {
					t.Errorf("%s has the environment variables %v", name, names)
				}
				continue
			}
			if len(names) == 0 || !strings.HasPrefix(names[0], envPrefix) || !f.Hidden && !strings.Contains(help.String(), "$"+names[0]) {
				t.Errorf("%s --%s has the environment variables %v, of which the help should name the first", cmd.CommandPath(), f.Name, names)
				continue
			}
			value := samples[f.Value.Type()]
			if c, ok := f.Value.(choiceFlag); ok {
				value = c.among[1]
			}
			switch {
			case f.Name == "config":
				value = os.DevNull
			case f.Name == "log-level":
				value = "warn"
			case value == "":
				value = "x"
			}
			t.Setenv(names[0], value)
			if err := a.settle(cmd); err != nil || !f.Changed {
				t.Errorf("%s=%s: %v, --%s is %q", names[0], value, err, f.Name, f.Value)
			}
			t.Setenv(names[0], "") // which is as if it were not set
			flags++
		}
	})
	if flags < 60 {
		t.Errorf("%d flags were looked at", flags)
	}
}

func TestUnknownEnvironmentVariables(t *testing.T) {
	known := variables(newRoot(&app{}, subcommands()...))
	for name, tt := range map[string]struct {
		variable string
		want     string // of the error
	}{
		"a setting":          {"DISKPORT_RESERVE=1GiB", ""},
		"the keys":           {"DISKPORT_ROOT_SECRET_ACCESS_KEY=x", ""},
		"keys for elsewhere": {"DISKPORT_SOURCE_SESSION_TOKEN=x", ""},
		"a test's":           {"DISKPORT_TEST_POSTGRES=x", ""},
		"Kubernetes'":        {"DISKPORT_PORT_4580_TCP_ADDR=10.0.0.1", ""},
		"somebody else's":    {"DISKPORTE=x", ""},
		"the binary's name":  {"DISKPORT=bin/diskport", ""},
		"empty":              {"DISKPORT_RESERV=", ""},
		"misspelt":           {"DISKPORT_RESERV=1GiB", "unknown environment variable DISKPORT_RESERV; did you mean DISKPORT_RESERVE?"},
		"of another name":    {"DISKPORT_DATABASE=x", "did you mean DISKPORT_DATABASE_URL?"},
		"for one start":      {"DISKPORT_ACCEPT_OLDER_DATABASE=true", "unknown environment variable DISKPORT_ACCEPT_OLDER_DATABASE"},
		"like nothing":       {"DISKPORT_XYZZY_PLUGH=x", "unknown environment variable DISKPORT_XYZZY_PLUGH"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkVariables([]string{"HOME=/", tt.variable}, known)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	t.Setenv("DISKPORT_RESERV", "1GiB")
	if _, err := parse(t, ""); err == nil || !strings.Contains(err.Error(), "unknown environment variable") {
		t.Errorf("parsing: %v, want a refusal", err)
	}
}

// TestADataDirectoryThatIsNamedIsMeant: a shell in which the settings of one service are,
// and a command that names the directory of another.
func TestADataDirectoryThatIsNamedIsMeant(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("endpoint: http://file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"nothing":                  {nil, nil, ""},
		"the environment":          {nil, map[string]string{"AWS_ENDPOINT_URL": "http://env"}, "http://env"},
		"a file":                   {[]string{"--config", config}, nil, "http://file"},
		"data":                     {[]string{"--data", "/other"}, map[string]string{"AWS_ENDPOINT_URL": "http://env"}, ""},
		"data, and Diskport's own": {[]string{"--data=/other"}, map[string]string{"DISKPORT_ENDPOINT": "http://env"}, ""},
		"data, and a file":         {[]string{"--data", "/other", "--config", config}, nil, ""},
		"data and endpoint":        {[]string{"--data", "/other", "--endpoint", "http://line"}, map[string]string{"AWS_ENDPOINT_URL": "http://env"}, "http://line"},
		"data of the environment":  {nil, map[string]string{"AWS_ENDPOINT_URL": "http://env", "DISKPORT_DATA": "/other"}, "http://env"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"AWS_ENDPOINT_URL", "DISKPORT_ENDPOINT", "DISKPORT_DATA", "DISKPORT_CONFIG"} {
				t.Setenv(variable, tt.env[variable])
			}
			a := &app{}
			cmd, args, err := newRoot(a, subcommands()...).Find(append([]string{"tasks"}, tt.args...))
			if err == nil {
				err = errors.Join(cmd.ParseFlags(args), a.settle(cmd))
			}
			if err != nil || a.Endpoint != tt.want {
				t.Errorf("%v, the endpoint is %q, want %q", err, a.Endpoint, tt.want)
			}
		})
	}
}

func TestSettingsComeFromLineThenEnvironmentThenFile(t *testing.T) {
	const file = "listen: 127.0.0.1:1\nregion: eu-west-1\nhold-poll: 1s\nstrict-aws: true\nroles: [worker]\nquota-imports: 7\n" +
		"account-id: 012345670123\nreserve: 5\nlog-level: warn\ndomain:\n"
	t.Setenv("DISKPORT_LISTEN", "127.0.0.1:2")
	t.Setenv("DISKPORT_HOLD_POLL", "")
	c, err := parse(t, file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != "127.0.0.1:2" || c.Region != "eu-west-1" || c.HoldPoll != time.Second ||
		!c.StrictAWS || strings.Join(c.Roles, ",") != "worker" || c.QuotaImports != 7 ||
		c.AccountID != "012345670123" || c.Reserve != 5 || c.LogLevel.String() != "WARN" || c.Domain != "" {
		t.Errorf("settings are %+v in %s", c.serviceFlags, c.Region)
	}
	c, err = parse(t, file, "--listen=127.0.0.1:3", "--request-rate", "-1")
	if err != nil || c.Listen != "127.0.0.1:3" || c.RequestRate != -1 {
		t.Errorf("listen is %q, the rate %d (%v), want what the line says", c.Listen, c.RequestRate, err)
	}
}

// The service in the process has the settings that serve would have.
func TestSettingsOfTheServiceInTheProcess(t *testing.T) {
	t.Setenv("DISKPORT_RESERVE", "1MiB")
	a := &app{file: configFile{"quota-imports": {"3"}, "reserve": {"2MiB"}}}
	f, err := a.localFlags()
	if err != nil || f.Reserve != 1<<20 || f.QuotaImports != 3 || f.CompactRate != 0 || f.HoldPoll != 5*time.Second {
		t.Errorf("%+v, %v", f, err)
	}
	t.Setenv("DISKPORT_SOURCE_STS", "none")
	if _, err := a.localFlags(); err == nil {
		t.Error("settings that contradict each other were taken")
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	tests := map[string]struct {
		file string
		args []string
		want string
	}{
		"unknown key":         {"lisen: x\n", nil, `unknown key "lisen"`},
		"key misspelt":        {"lisen: x\n", nil, "did you mean listen?"},
		"no YAML":             {"a: [\n", nil, "reading the configuration"},
		"map":                 {"roles: {a: b}\n", nil, "neither a value nor a list"},
		"half of TLS":         {"", []string{"--tls-cert=x"}, "go together"},
		"reserve":             {"reserve: much\n", nil, "is no size"},
		"role":                {"", []string{"--roles=boss"}, "must be one of"},
		"failed status":       {"failed-status: gone\n", nil, "must be one of"},
		"unknown flag":        {"", []string{"--nope"}, "unknown flag"},
		"flag misspelt":       {"", []string{"--strict-asw"}, "did you mean --strict-aws?"},
		"one dash":            {"", []string{"-listen=x"}, "did you mean --listen?"},
		"no value":            {"", []string{"--listen"}, "flag needs an argument: --listen"},
		"argument":            {"", []string{"now"}, `unexpected argument "now"`},
		"source endpoint":     {"source-endpoint: minio:9000\n", nil, "neither aws nor http"},
		"KMS endpoint":        {"", []string{"--kms-endpoint=ftp://x"}, "neither aws nor http"},
		"STS endpoint":        {"source-endpoint: aws\nsource-sts: nowhere\n", nil, "--source-sts"},
		"STS of nothing":      {"source-sts: none\n", nil, "need --source-endpoint"},
		"key of a subcommand": {"json: true\n", nil, `unknown key "json"`},
		"key of one start":    {"accept-older-database: true\n", nil, `unknown key "accept-older-database"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(t, tt.file, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("parsing: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestHalfARootKeyIsRefused(t *testing.T) {
	t.Setenv(envRootKeyID, "AKIAX")
	if _, err := parse(t, ""); err == nil || !strings.Contains(err.Error(), "go together") {
		t.Errorf("parsing: %v, want a refusal", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"import", "inspect", "snapshot", "snapshots", "gc"}
	for word, want := range map[string]string{
		"imprt": "import", "snap": "snapshot", "snapshts": "snapshots", "inspekt": "inspect", "cg": "gc", "frobnicate": "", "": "import",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// A variable gives all flags of its name a value, so it has to be of one kind; where
// it is not, setEnv gives the flag another variable, or none.
func TestFlagsOfOneVariableAreAlike(t *testing.T) {
	type kind struct{ value, flagType string }
	seen := map[string]kind{}
	everyCommand(newRoot(&app{}, subcommands()...), func(cmd *cobra.Command, own []*pflag.Flag) {
		for _, f := range own {
			value, _ := pflag.UnquoteUsage(f)
			k := kind{value, f.Value.Type()}
			for _, name := range envNames(f) {
				if other, ok := seen[name]; ok && other != k {
					t.Errorf("$%s is %+v to %s --%s, and %+v to another command", name, k, cmd.CommandPath(), f.Name, other)
				}
				seen[name] = k
			}
		}
	})
}

// otherCmd is a command whose flags have the name of one of the service's, and exclude
// each other.
type otherCmd struct{ domain, account string }

func (c *otherCmd) command(*app) *cobra.Command {
	cmd := &cobra.Command{Use: "other", Short: "Do nothing.", RunE: func(*cobra.Command, []string) error { return nil }}
	cmd.Flags().StringVar(&c.domain, "domain", "", "`ID` of something.")
	cmd.Flags().StringVar(&c.account, "account", "", "`ID` of something else.")
	setEnv(cmd.Flags(), "domain")
	cmd.MarkFlagsMutuallyExclusive("domain", "account")
	cmd.MarkFlagsOneRequired("domain", "account")
	return cmd
}

func TestFlagsOfOtherCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "diskport.yml")
	if err := os.WriteFile(file, []byte("domain: example.com\nregion: eu-west-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DISKPORT_CONFIG", file)
	t.Setenv("DISKPORT_DOMAIN", "example.com")
	for line, want := range map[string]string{
		"other --account x":            "",
		"other":                        "at least one of the flags",
		"other --account x --domain y": "none of the others can be",
	} {
		a, c := &app{}, &otherCmd{}
		root := newRoot(a, group{"", []subcommand{c, &serveCmd{}}})
		root.SetArgs(strings.Fields(line))
		err := root.ExecuteContext(t.Context())
		var usage *usageError
		switch {
		case want != "" && (!errors.As(err, &usage) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want an error of usage with %q", line, err, want)
		case want == "" && (err != nil || c.domain != "" || c.account != "x" || a.Region != "eu-west-1"):
			t.Errorf("%s: %v, %+v in %s", line, err, c, a.Region)
		}
	}
}
