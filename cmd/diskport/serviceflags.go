package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"time"
)

// serviceFlags are the settings of the service.
type serviceFlags struct {
	Listen              string        `env:"DISKPORT_LISTEN" default:"127.0.0.1:4580" placeholder:"ADDR" help:"Address to listen on (${default})."`
	Database            string        `env:"DISKPORT_DATABASE_URL" placeholder:"URL" help:"For many nodes, which are not supported yet. Default: SQLite in the data directory."`
	Store               string        `env:"DISKPORT_STORE" placeholder:"WHERE" help:"For many nodes, which are not supported yet. Default: blocks/ in the data directory."`
	SourceEndpoint      string        `env:"DISKPORT_SOURCE_ENDPOINT" placeholder:"URL" help:"S3 to import from besides the embedded one: aws, or the address of any other. Its keys: DISKPORT_SOURCE_ACCESS_KEY_ID and DISKPORT_SOURCE_SECRET_ACCESS_KEY."`
	SourceSTS           string        `name:"source-sts" env:"DISKPORT_SOURCE_STS" placeholder:"URL" help:"Where these keys assume the service role for --source-endpoint: aws, an address, or none to read with the keys themselves. Default: at --source-endpoint."`
	SourceRegion        string        `env:"DISKPORT_SOURCE_REGION" placeholder:"REGION" help:"Region of --source-endpoint, from which imports in every region may then read. Default: the region of each import."`
	KMSEndpoint         string        `name:"kms-endpoint" env:"DISKPORT_KMS_ENDPOINT" placeholder:"URL" help:"KMS to use instead of the embedded one: aws, or the address of any other. Its keys: DISKPORT_KMS_ACCESS_KEY_ID and DISKPORT_KMS_SECRET_ACCESS_KEY."`
	KMSAllow            []string      `name:"kms-allow" env:"DISKPORT_KMS_ALLOW" placeholder:"ACCOUNT=KEY" help:"Let an account use a key of the KMS elsewhere: its ARN, or * for all. Without it a key is for the operator's account, and for that of its ARN."`
	Regions             []string      `env:"DISKPORT_REGIONS" placeholder:"REGION" help:"Regions that the service plays, --region among them. Default: all that AWS has where --region is; if AWS has no such region, that one alone."`
	AccountID           string        `env:"DISKPORT_ACCOUNT_ID" default:"000000000000" placeholder:"ID" help:"AWS account that the service plays (${default})."`
	Roles               []string      `env:"DISKPORT_ROLES" default:"api,worker" enum:"api,worker" help:"What this node does. A single node needs both (${default})."`
	TLSCert             string        `env:"DISKPORT_TLS_CERT" name:"tls-cert" type:"path" placeholder:"FILE" help:"Serve https with this certificate chain (PEM)."`
	TLSKey              string        `env:"DISKPORT_TLS_KEY" name:"tls-key" type:"path" placeholder:"FILE" help:"The certificate's key (PEM)."`
	Domain              string        `env:"DISKPORT_DOMAIN" placeholder:"NAME" help:"DNS name of the service, under which bucket.NAME is a bucket."`
	StrictAWS           bool          `name:"strict-aws" env:"DISKPORT_STRICT_AWS" help:"Refuse what AWS refuses, in its words."`
	FailedStatus        string        `env:"DISKPORT_FAILED_STATUS" default:"deleted" enum:"deleted,error" help:"Status of a failed task: deleted as at AWS, or error, which SDK waiters know (${default})."`
	HoldPoll            time.Duration `env:"DISKPORT_HOLD_POLL" default:"5s" help:"How long to hold a poll for one running task; 0 answers at once (${default})."`
	AllowSigV2          bool          `env:"DISKPORT_ALLOW_SIGV2" name:"allow-sigv2" help:"Accept Signature Version 2 for EC2. S3 accepts it anyway, unless --strict-aws is given."`
	QuotaImports        int           `env:"DISKPORT_QUOTA_IMPORTS" default:"20" help:"Imports that an account may run at once (${default})."`
	QuotaObjects        string        `env:"DISKPORT_QUOTA_OBJECTS" default:"0" placeholder:"SIZE" help:"Bytes that an account may store in the embedded S3; 0 is no limit (${default})."`
	RequestRate         int           `env:"DISKPORT_REQUEST_RATE" default:"200" help:"Requests a second that a principal may make of each EC2 action, and an account of each of EBS direct (50 times as many for blocks); -1 is no limit (${default})."`
	TagSnapshots        bool          `env:"DISKPORT_TAG_SNAPSHOTS" help:"Let imports tag their snapshots: tag specifications of type snapshot."`
	DeepDryRun          bool          `env:"DISKPORT_DEEP_DRY_RUN" help:"Let a dry run look at role, object and image too, and say how the import would fail."`
	Reserve             string        `env:"DISKPORT_RESERVE" default:"1GiB" help:"Free space that an import must leave on the data directory's disk to begin (${default})."`
	CompactRate         string        `env:"DISKPORT_COMPACT_RATE" default:"32MiB" placeholder:"SIZE" help:"What the rewriting of packs in the background reads and writes in a second at most; 0 turns it off (${default})."`
	AcceptOlderDatabase bool          `help:"Go on with a database that is older than what was last used on the data directory: restored, or cut off. For one start."`
	LogFormat           string        `env:"DISKPORT_LOG_FORMAT" default:"auto" enum:"auto,text,json" help:"text, json, or auto: text on a terminal, else json (${default})."`
	LogLevel            slog.Level    `env:"DISKPORT_LOG_LEVEL" default:"info" help:"debug, info, warn or error (${default})."`
	RangeBytes          int64         `default:"0" hidden:"" help:"Source bytes of one range of an import; 0 is the default. For tests."`
}

// Validate refuses settings that contradict each other.
func (f *serviceFlags) Validate() error {
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if (os.Getenv(envRootKeyID) == "") != (os.Getenv(envRootSecret) == "") {
		return errors.New(envRootKeyID + " and " + envRootSecret + " go together")
	}
	for _, size := range []string{f.Reserve, f.QuotaObjects, f.CompactRate} {
		if _, err := parseSize(size); err != nil {
			return err
		}
	}
	return f.validateElsewhere()
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

// compactRate returns the bytes a second for server.Config.
func (f *serviceFlags) compactRate() (int64, error) {
	rate, err := parseSize(f.CompactRate)
	if err == nil && rate == 0 {
		rate = -1
	}
	return rate, err
}
