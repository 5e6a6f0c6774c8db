package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/spf13/pflag"
)

// serviceFlags are the settings of the service.
type serviceFlags struct {
	Listen              string
	Domain              string
	TLSCert             string
	TLSKey              string
	AuditLogs           []string
	AuditEvery          time.Duration
	Webhook             string
	WebhookSecretFile   string
	TraceEndpoint       string
	noTraces            bool
	Roles               []string
	Regions             []string
	AccountID           string
	Database            string
	Store               string
	MasterKeyFile       string
	FormerKeyFiles      []string
	ReplaceRootKey      bool
	Reserve             byteSize
	CompactRate         byteSize      // a second; 0 is off
	ScrubInterval       time.Duration // 0 is off
	ScrubRate           byteSize      // a second; 0 is no limit
	AcceptOlderDatabase bool
	Rebuild             bool // no flag: of diskport verify --rebuild
	SourceEndpoint      string
	SourceSTS           string
	SourceRegion        string
	KMSEndpoint         string
	KMSAllow            []string
	StrictAWS           bool
	AllowSigV2          bool
	FailedStatus        string
	HoldPoll            time.Duration
	TagSnapshots        bool
	DeepDryRun          bool
	QuotaImports        int
	QuotaObjects        byteSize // 0 is no limit
	QuotaAllObjects     byteSize // 0 is no limit
	QuotaScratch        byteSize // 0 is no limit
	RequestRate         int
	LogFormat           string
	LogLevel            slog.Level
	RangeBytes          int64
	SlicePages          int64
}

func (f *serviceFlags) declare(fs *pflag.FlagSet) {
	section(fs, "The node", f.declareNode)
	section(fs, "Storage", f.declareStorage)
	section(fs, "Many nodes", f.declareNodes)
	section(fs, "S3 and KMS elsewhere", f.declareElsewhere)
	section(fs, "Behaviour", f.declareBehaviour)
	section(fs, "Limits", f.declareLimits)
	section(fs, "Log", f.declareLog)
	mayBeInFile(fs)
}

func (f *serviceFlags) declareNode(fs *pflag.FlagSet) {
	fs.StringVar(&f.Listen, "listen", "127.0.0.1:4580", "Listen on `ADDR`.")
	fs.StringVar(&f.Domain, "domain", "", "DNS `NAME` of the service, under which bucket.NAME is a bucket.")
	pathVar(fs, &f.TLSCert, "tls-cert", "Serve https with the certificate chain in `FILE` (PEM).")
	pathVar(fs, &f.TLSKey, "tls-key", "The certificate's key: `FILE` (PEM).")
	fs.StringSliceVar(&f.Roles, "roles", []string{"api", "worker"}, "What this node does: `ROLES`, api (answer requests) or worker (import, copy, collect garbage). A single node needs both.")
	fs.StringSliceVar(&f.Regions, "regions", nil, "`REGIONS` that the service plays, --region among them. Default: all that AWS has where --region is; if AWS has no such region, that one alone.")
	fs.StringVar(&f.AccountID, "account-id", "000000000000", "AWS account that the service plays, by its `ID`.")
}

func (f *serviceFlags) declareStorage(fs *pflag.FlagSet) {
	fs.StringVar(&f.Store, "store", "", "Keep the blocks in a bucket instead of blocks/ in the data directory: its `URL`, s3://BUCKET/PREFIX, with ?endpoint=URL&region=REGION where it is not AWS's. Its keys: DISKPORT_STORE_ACCESS_KEY_ID and DISKPORT_STORE_SECRET_ACCESS_KEY.")
	sizeVar(fs, &f.Reserve, "reserve", 1<<30, "Free space that an import must leave on the data directory's disk to begin: `SIZE`.")
	sizeVar(fs, &f.CompactRate, "compact-rate", defaultCompactRate, "What the rewriting of packs in the background reads and writes in a second at most: `SIZE`. 0 turns it off.")
	fs.DurationVar(&f.ScrubInterval, "scrub-interval", defaultScrubInterval, "How often everything is read back in the background and checked: `TIME`. 0 turns it off.")
	sizeVar(fs, &f.ScrubRate, "scrub-rate", defaultScrubRate, "What that reads in a second at most: `SIZE`. 0 is as much as possible.")
	fs.BoolVar(&f.AcceptOlderDatabase, "accept-older-database", false, "Go on with a database that is older than what was last used on the data directory: restored, or cut off. For one start.")
	setEnv(fs, "accept-older-database")
	fs.Int64Var(&f.RangeBytes, "range-bytes", 0, "Source `BYTES` of one range of an import; 0 is the default. For tests.")
	fs.Lookup("range-bytes").Hidden = true
	fs.Int64Var(&f.SlicePages, "slice-pages", 0, "`PAGES` of a range that one transaction registers; 0 is the default. For tests.")
	fs.Lookup("slice-pages").Hidden = true
}

// declareNodes declares what many nodes share.
func (f *serviceFlags) declareNodes(fs *pflag.FlagSet) {
	fs.StringVar(&f.Database, "database", "", "PostgreSQL that many nodes share: its `URL`, as in postgres://USER@HOST/NAME. The password may be in PGPASSWORD, or in a file that PGPASSFILE names. Needs --store, --source-endpoint, --master-key-file, and the root key in DISKPORT_ROOT_ACCESS_KEY_ID and DISKPORT_ROOT_SECRET_ACCESS_KEY. Default: SQLite in the data directory, for one node.")
	setEnv(fs, "database", "DISKPORT_DATABASE_URL")
	pathVar(fs, &f.MasterKeyFile, "master-key-file", "Master key of all nodes: a `FILE` of 32 bytes, as head -c 32 /dev/urandom makes it.")
	pathsVar(fs, &f.FormerKeyFiles, "former-master-key-file", "Another master key that may be in use: a `FILE` of 32 bytes. For its replacement, on all nodes; repeat it for more.")
	fs.BoolVar(&f.ReplaceRootKey, "replace-root-key", false, "Take the root access key for all nodes, which had another until now. For one start.")
	setEnv(fs, "replace-root-key")
}

func (f *serviceFlags) declareElsewhere(fs *pflag.FlagSet) {
	fs.StringVar(&f.SourceEndpoint, "source-endpoint", "", "S3 to import from besides the embedded one: aws, or the `URL` of any other. Its keys: DISKPORT_SOURCE_ACCESS_KEY_ID and DISKPORT_SOURCE_SECRET_ACCESS_KEY.")
	fs.StringVar(&f.SourceSTS, "source-sts", "", "Where these keys assume the service role for --source-endpoint: aws, a `URL`, or none to read with the keys themselves. Default: at --source-endpoint.")
	fs.StringVar(&f.SourceRegion, "source-region", "", "`REGION` of --source-endpoint, from which imports in every region may then read. Default: the region of each import.")
	fs.StringVar(&f.KMSEndpoint, "kms-endpoint", "", "KMS to use instead of the embedded one: aws, or the `URL` of any other. Its keys: DISKPORT_KMS_ACCESS_KEY_ID and DISKPORT_KMS_SECRET_ACCESS_KEY.")
	fs.StringSliceVar(&f.KMSAllow, "kms-allow", nil, "Let an account, as in `ACCOUNT=KEY`, use a key of the KMS elsewhere: its ARN, or * for all. Without it a key is for the operator's account, and for that of its ARN.")
}

func (f *serviceFlags) declareBehaviour(fs *pflag.FlagSet) {
	fs.BoolVar(&f.StrictAWS, "strict-aws", false, "Refuse what AWS refuses, in its words.")
	fs.BoolVar(&f.AllowSigV2, "allow-sigv2", false, "Accept Signature Version 2 for EC2. S3 accepts it anyway, unless --strict-aws is given.")
	choiceVar(fs, &f.FailedStatus, "failed-status", "`STATUS` of a failed task: deleted as at AWS, or error, which SDK waiters know.", "deleted", "error")
	fs.DurationVar(&f.HoldPoll, "hold-poll", 5*time.Second, "How long to hold a poll for one running task: `TIME`. 0 answers at once.")
	fs.BoolVar(&f.TagSnapshots, "tag-snapshots", false, "Let imports tag their snapshots: tag specifications of type snapshot.")
	fs.BoolVar(&f.DeepDryRun, "deep-dry-run", false, "Let a dry run look at role, object and image too, and say how the import would fail.")
}

func (f *serviceFlags) declareLimits(fs *pflag.FlagSet) {
	fs.IntVar(&f.QuotaImports, "quota-imports", 20, "Imports that an account may run at once: `N`.")
	sizeVar(fs, &f.QuotaObjects, "quota-objects", 0, "Bytes that an account may store in the embedded S3: `SIZE`. 0 is no limit.")
	sizeVar(fs, &f.QuotaAllObjects, "quota-all-objects", 0, "Bytes that all accounts together may store in the embedded S3: `SIZE`. 0 is no limit.")
	sizeVar(fs, &f.QuotaScratch, "quota-scratch", 0, "Bytes that images may take at once which have to be unpacked to be read: `SIZE`. 0 is no limit but --reserve.")
	fs.IntVar(&f.RequestRate, "request-rate", 200, "Requests a second that a principal may make of each EC2 action, and an account of each of EBS direct (50 times as many for blocks): `N`. -1 is no limit.")
}

func (f *serviceFlags) declareLog(fs *pflag.FlagSet) {
	choiceVar(fs, &f.LogFormat, "log-format", "`FORMAT` of the log: text, json, or auto, which is text on a terminal and else json.", "auto", "text", "json")
	fs.TextVar(&f.LogLevel, "log-level", slog.LevelInfo, "Log from this `LEVEL` on: debug, info, warn or error.")
	fs.Lookup("log-level").DefValue = "info" // rather than INFO
	fs.Var(placesFlag{&f.AuditLogs}, "audit-log", "Keep a record of every call that changes something, in CloudTrail's form: append it to the file `PLACE`, or store it in s3://BUCKET/PREFIX of the embedded S3, or with ?endpoint=URL&region=REGION of another, whose keys are DISKPORT_AUDIT_ACCESS_KEY_ID and DISKPORT_AUDIT_SECRET_ACCESS_KEY. Repeat it for both.")
	fs.DurationVar(&f.AuditEvery, "audit-every", defaultAuditEvery, "How long records wait until they are stored in a bucket together: `TIME`.")
	fs.StringVar(&f.Webhook, "webhook", "", "POST events (an import ended, a snapshot completed, failed, was shared or deleted, damage was found, the disk is nearly full) to `URL`, as EventBridge's.")
	pathVar(fs, &f.WebhookSecretFile, "webhook-secret-file", "Sign events with the contents of `FILE`, 16 bytes at least.")
	fs.StringVar(&f.TraceEndpoint, "trace-endpoint", "", "Send traces to the `URL` of a receiver of OpenTelemetry's protocol (HTTP, protobuf). Default: where OTEL_EXPORTER_OTLP_ENDPOINT says, if it does; its headers: OTEL_EXPORTER_OTLP_HEADERS.")
}

// validate refuses settings that contradict each other.
func (f *serviceFlags) validate() error {
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if (os.Getenv(envRootKeyID) == "") != (os.Getenv(envRootSecret) == "") {
		return errors.New(envRootKeyID + " and " + envRootSecret + " go together")
	}
	if u, err := url.Parse(f.Webhook); f.Webhook != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("--webhook: %q is no http or https address", f.Webhook)
	}
	if (f.Webhook == "") != (f.WebhookSecretFile == "") {
		return errors.New("--webhook and --webhook-secret-file go together")
	}
	if _, err := f.traces(); err != nil {
		return err
	}
	if f.AuditEvery < time.Second {
		return errors.New("--audit-every: records wait for a second at least")
	}
	for _, role := range f.Roles {
		if role != "api" && role != "worker" {
			return fmt.Errorf("--roles: %q must be one of api, worker", role)
		}
	}
	return f.validateElsewhere()
}

// minWebhookSecret is the least bytes of the secret of a webhook.
const minWebhookSecret = 16

// webhookSecret reads the secret that events are signed with; nil if there is no webhook.
func (f *serviceFlags) webhookSecret() ([]byte, error) {
	if f.WebhookSecretFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(f.WebhookSecretFile)
	if err != nil {
		return nil, fmt.Errorf("--webhook-secret-file: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) < minWebhookSecret {
		return nil, fmt.Errorf("--webhook-secret-file: %s has %d bytes, and needs %d", f.WebhookSecretFile, len(text), minWebhookSecret)
	}
	return text, nil
}

// The root keys come from the environment alone, since other users can see command
// lines.
const (
	envRootKeyID  = "DISKPORT_ROOT_ACCESS_KEY_ID"
	envRootSecret = "DISKPORT_ROOT_SECRET_ACCESS_KEY"
)

func (f *serviceFlags) logger(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: f.LogLevel}
	if f.LogFormat == "text" || f.LogFormat == "auto" && isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// scrub returns interval and rate for server.Config.
func (f *serviceFlags) scrub() (time.Duration, int64) {
	every, rate := f.ScrubInterval, int64(f.ScrubRate)
	if every == 0 {
		every = -1
	}
	if rate == 0 {
		rate = -1
	}
	return every, rate
}

// compactRate returns the bytes a second for server.Config.
func (f *serviceFlags) compactRate() int64 {
	if f.CompactRate == 0 {
		return -1
	}
	return int64(f.CompactRate)
}
