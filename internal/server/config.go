package server

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

// Config is everything that can be set. The zero value of a field means its
// default, except where noted.
type Config struct {
	Listen   string // host:port; port 0 picks a free one
	Data     string // data directory; required
	Database string // "" = SQLite in Data; else this is one of many nodes, and Data is scratch
	Store    string // "" = blocks/ in Data; s3://BUCKET/PREFIX?endpoint=URL&region=REGION

	StoreCredentials aws.CredentialsProvider // for a bucket

	Region    string   // the service's own: "us-east-1"
	Regions   []string // that the service plays, with Region; none: all that AWS has in Region's partition
	AccountID string   // "000000000000"

	// The root key; both or neither. Without them the ones in Data are used, or
	// made at the first start. Many nodes need them, the same for all.
	RootAccessKeyID     string
	RootSecretAccessKey string
	ReplaceRootKey      bool // of many nodes: they may have had another until now

	// Of many nodes: files of 32 bytes, the same on all. The former ones open what was
	// wrapped under them.
	MasterKeyFile  string
	FormerKeyFiles []string

	// Where images lie besides the embedded S3: "aws", or the URL of an S3. Objects
	// are read with SourceCredentials, which assume the service role at SourceSTS:
	// "" means at SourceEndpoint, "none" means to read without a role; else it is
	// of the form of SourceEndpoint.
	SourceEndpoint    string
	SourceSTS         string
	SourceRegion      string // of its buckets, whatever the region of an import; "" = that of the import
	SourceCredentials aws.CredentialsProvider

	// Where keys live instead of the embedded KMS: "aws", or the URL of a KMS.
	KMSEndpoint    string
	KMSCredentials aws.CredentialsProvider
	// KMSAllow lets other accounts than AccountID use its keys: ACCOUNT=KEY, a key's
	// ARN or "*". A key's own account needs no leave.
	KMSAllow []string

	TLSCert, TLSKey  string                  // PEM files; both or neither
	AuditLogs        []string                // of the records of calls: a file, a bucket (s3://BUCKET/PREFIX), or both
	AuditEvery       time.Duration           // how long records wait for others, for the bucket; 5 min
	AuditCredentials aws.CredentialsProvider // for a bucket elsewhere
	Webhook          string                  // URL that is told of events; empty: nobody is
	WebhookSecret    []byte                  // signs them
	Traces           Traces
	Domain           string

	Roles               []string // "api", "worker"; none = both
	StrictAWS           bool
	FailedStatus        string        // "deleted"
	HoldPoll            time.Duration // 0 = off
	AllowSigV2          bool
	TagSnapshots        bool
	DeepDryRun          bool
	QuotaImports        int           // 20
	RequestRate         int           // EC2 requests a second of an account, for each action; 200; negative: no limit
	QuotaObjects        int64         // bytes that an account may store in the embedded S3; 0: no limit
	QuotaAllObjects     int64         // bytes that all accounts together may store there; 0: no limit
	QuotaScratch        int64         // bytes that unpacked images may take; 0: no limit
	Reserve             int64         // bytes of free space that imports and uploads leave alone
	Rebuild             bool          // take a new or older database for the store as it is, to be filled from that
	AcceptOlderDatabase bool          // go on with a database that has forgotten transactions
	RangeBytes          int64         // source bytes of one range; 0 = 1 GiB
	SlicePages          int64         // pages of a range that one transaction registers; 0 = 1,024
	GCEvery             time.Duration // 15 min
	ScrubInterval       time.Duration // from one reading of everything to the next; 30 days; negative: it is off
	ScrubRate           int64         // bytes a second that it reads; 32 MiB; negative: any number
	CompactRate         int64         // bytes a second that the rewriting of packs reads and writes; 16 MiB; negative: it is off

	Clients Clients // how much of the service clients may hold

	Logger *slog.Logger // required

	// Command says that the service is a command's own and ends with it, for others on the
	// data directory to know.
	Command bool
	// Ready is called by Run, with the service's URL, once other commands on the data
	// directory can find it: whoever tells people earlier has them come too early.
	Ready func(endpoint string)

	restoring bool // the data directory is being restored

	regions awsid.Regions // what Region and Regions say, set by withDefaults
}

// Defaults that the command line shows.
const (
	DefaultScrubInterval = 30 * 24 * time.Hour
	DefaultScrubRate     = 32 << 20 // bytes a second
	DefaultCompactRate   = 16 << 20 // bytes a second
)

// withDefaults fills in defaults and refuses settings that contradict each other,
// before anything is opened.
func (c Config) withDefaults() (Config, error) {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.Listen, "127.0.0.1:4580")
	def(&c.Region, "us-east-1")
	def(&c.AccountID, "000000000000")
	def(&c.FailedStatus, "deleted")
	if len(c.Roles) == 0 {
		c.Roles = []string{roleAPI, roleWorker}
	}
	if c.QuotaImports == 0 {
		c.QuotaImports = 20
	}
	if c.RequestRate == 0 {
		c.RequestRate = 200
	}
	c.Clients = c.Clients.withDefaults()
	if c.GCEvery == 0 {
		c.GCEvery = 15 * time.Minute
	}
	if c.ScrubInterval == 0 {
		c.ScrubInterval = DefaultScrubInterval
	}
	if c.ScrubRate == 0 {
		c.ScrubRate = DefaultScrubRate
	}
	if c.CompactRate == 0 {
		c.CompactRate = DefaultCompactRate
	}
	if c.AuditEvery == 0 {
		c.AuditEvery = DefaultAuditEvery
	}
	c.AcceptOlderDatabase = c.AcceptOlderDatabase || c.Rebuild
	var err error
	if c.regions, err = awsid.NewRegions(c.Region, c.Regions); err != nil {
		return c, fmt.Errorf("server: --region and --regions: %w", err)
	}
	switch {
	case c.Data == "":
		return c, errors.New("server: no data directory")
	case c.Logger == nil:
		return c, errors.New("server: no logger")
	case (c.RootAccessKeyID == "") != (c.RootSecretAccessKey == ""):
		return c, errors.New("server: root access key id and secret go together")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return c, errors.New("server: TLS certificate and key go together")
	case c.SourceEndpoint != "" && c.SourceCredentials == nil, c.KMSEndpoint != "" && c.KMSCredentials == nil:
		return c, errors.New("server: a source or KMS endpoint needs credentials")
	case len(c.KMSAllow) > 0 && c.KMSEndpoint == "":
		return c, errors.New("server: who may use a key of the embedded KMS is said by its key policy: leave out --kms-allow, or name a KMS with --kms-endpoint")
	}
	for _, check := range []func() error{c.checkAudit, c.chosen, c.checkNodes} {
		if err := check(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// givenRootKey returns the root key that is configured.
func (c Config) givenRootKey() (id string, secret sigv4.Secret) {
	return c.RootAccessKeyID, sigv4.NewSecret(c.RootSecretAccessKey)
}
