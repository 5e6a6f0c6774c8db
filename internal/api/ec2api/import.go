package ec2api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/source"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

type importSnapshotRequest struct {
	common
	tagged
	ClientData    *clientData
	ClientToken   string
	Description   string
	DiskContainer *diskContainer
	Encrypted     bool
	KmsKeyId      string
	RoleName      string
}

// clientData is never shown again; it is decoded because bad values are refused
// and because it is part of what a client token stands for.
type clientData struct {
	Comment                string
	UploadStart, UploadEnd *time.Time
	UploadSize             float64
}

type diskContainer struct {
	Description string
	Format      string
	Url         string
	UserBucket  struct{ S3Bucket, S3Key string }
}

// disk returns the part of the request that describes the image; empty if there is
// none.
func (r importSnapshotRequest) disk() diskContainer {
	if r.DiskContainer == nil {
		return diskContainer{}
	}
	return *r.DiskContainer
}

const (
	taskType     = "import-snapshot-task"
	snapshotType = "snapshot"
	defaultRole  = "vmimport"
	maxToken     = 64
)

func importGrants(c call, r importSnapshotRequest) []grant {
	task := awsid.TaskARN(c.Home(), "*")
	snapshot := awsid.SnapshotARN(c.Region, "*")
	with := tagContext(r.tags())
	grants := []grant{{"ec2:ImportSnapshot", with, []string{task, snapshot}}}
	grants = append(grants, tagOnCreate("ImportSnapshot", r.tagsFor(taskType), with, task)...)
	return append(grants, tagOnCreate("ImportSnapshot", r.tagsFor(snapshotType), with, snapshot)...)
}

var roleName = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)

var importRules = slices.Concat([]rule[importSnapshotRequest]{
	{
		field: "DiskContainer", code: "MissingParameter", message: "The request must contain the parameter DiskContainer",
		broken: func(_ call, r importSnapshotRequest) (string, bool) { return "", r.DiskContainer == nil },
	},
	{
		field: "DiskContainer.UserBucket.S3Key", code: "MissingParameter", message: "The request must contain the parameter DiskContainer.UserBucket.S3Key",
		broken: func(_ call, r importSnapshotRequest) (string, bool) {
			b := r.disk().UserBucket
			return "", b.S3Bucket != "" && b.S3Key == ""
		},
	},
	{
		field: "DiskContainer.UserBucket.S3Bucket", code: "MissingParameter", message: "The request must contain the parameter DiskContainer.UserBucket.S3Bucket",
		broken: func(_ call, r importSnapshotRequest) (string, bool) {
			b := r.disk().UserBucket
			return "", b.S3Bucket == "" && b.S3Key != ""
		},
	},
	{
		field: "DiskContainer", code: "MissingParameter", message: "The request must contain the parameter DiskContainer.UserBucket or DiskContainer.Url",
		broken: func(_ call, r importSnapshotRequest) (string, bool) {
			return "", r.disk().UserBucket.S3Bucket == "" && r.disk().Url == ""
		},
	},
	{
		field: "DiskContainer.Url", code: "InvalidParameterCombination", message: "The parameter Url cannot be used with the parameter UserBucket",
		broken: func(_ call, r importSnapshotRequest) (string, bool) {
			return "", r.disk().UserBucket.S3Bucket != "" && r.disk().Url != ""
		},
	},
	{
		field: "DiskContainer.Url", code: "InvalidParameter", message: locationMessage,
		broken: func(c call, r importSnapshotRequest) (string, bool) { return "", badLocation(c, r.disk().Url) },
	},
	{
		field: "DiskContainer.Format", code: "InvalidParameter", message: "Parameter disk-image-format=%s has an invalid format",
		broken: func(c call, r importSnapshotRequest) (string, bool) {
			f := r.disk().Format
			return f, f != "" && !slices.Contains(c.Formats, strings.ToUpper(f))
		},
	},
	{
		field: "RoleName", code: "InvalidParameter", message: roleMessage,
		broken: func(_ call, r importSnapshotRequest) (string, bool) {
			return r.RoleName, r.RoleName != "" && !roleName.MatchString(r.RoleName)
		},
	},
	{
		field: "KmsKeyId", code: "InvalidParameterDependency", message: "The parameter KmsKeyId requires the parameter Encrypted to be set.",
		broken: func(_ call, r importSnapshotRequest) (string, bool) { return "", r.KmsKeyId != "" && !r.Encrypted },
	},
	goodToken(func(r importSnapshotRequest) string { return r.ClientToken }),
	short("Description", func(r importSnapshotRequest) string { return r.Description }),
	short("DiskContainer.Description", func(r importSnapshotRequest) string { return r.disk().Description }),
}, specificationRules[importSnapshotRequest](importKinds))

// tagSnapshotsHeader is what Diskport's own client sends with an import whose snapshot it
// tags, which AWS refuses. No client of AWS sends it, so these get AWS's answers.
const tagSnapshotsHeader = "X-Diskport-Tag-Snapshots"

// importKinds are the types of resources that an import can tag: its task, and its snapshot
// with --tag-snapshots, or for Diskport's own client.
func importKinds(c call) []string {
	if c.TagSnapshots || c.tagsSnapshots {
		return []string{taskType, snapshotType}
	}
	return []string{taskType}
}

// badLocation reports a Url that can't be read with any permission. An empty one is none.
func badLocation(c call, url string) bool {
	if url == "" {
		return false
	}
	_, err := source.ParseLocation(source.Request{Account: c.account(), URL: url, OwnHosts: c.ownHosts(), Endpoint: c.Source, Now: c.Now()})
	return errors.Is(err, source.ErrLocation)
}

// ownHosts are the names under which the service can be reached.
func (c call) ownHosts() []string { return append(slices.Clone(c.OwnHosts), c.host) }

func importSnapshot(ctx context.Context, c call, r importSnapshotRequest) (any, error) {
	ask, err := r.ask(ctx, c)
	if err != nil {
		return nil, err
	}
	task, err := c.Imports.Import(ctx, ask)
	logkey.NoteID(ctx, task.ID)
	if err != nil {
		return nil, r.explain(c, err)
	}
	return c.showTask(task), nil
}

// deepCheck implements deepRequest: a deep dry run looks at role, object and image.
func (r importSnapshotRequest) deepCheck(ctx context.Context, c call) error {
	ask, err := r.ask(ctx, c)
	if err != nil {
		return err
	}
	if err := c.Imports.Check(ctx, ask); err != nil {
		return r.explain(c, err)
	}
	return nil
}

// ask returns the import that is asked for, once the request has passed the rules.
func (r importSnapshotRequest) ask(ctx context.Context, c call) (importtask.Request, error) {
	ask := importtask.Request{
		Account: c.account(), Region: c.Region, Caller: c.Principal, Origin: c.Origin,
		Token: r.ClientToken, Digest: digest(r),
		Description: r.Description, DiskDescription: r.disk().Description,
		Format: strings.ToUpper(r.disk().Format), RoleName: orDefault(r.RoleName, defaultRole),
		URL: r.disk().Url, Bucket: r.disk().UserBucket.S3Bucket, Key: r.disk().UserBucket.S3Key,
		OwnHosts: c.ownHosts(), Tags: r.tagsFor(taskType), SnapshotTags: r.tagsFor(snapshotType),
	}
	d, err := c.Defaults.Defaults(ctx, c.Home())
	if encrypt := d.Encryption(snapshot.EncryptionRequest{Encrypted: r.Encrypted, Key: r.KmsKeyId}); encrypt != nil {
		ask.Encrypted, ask.KMSKey = true, encrypt.Key
	}
	return ask, err
}

// explain adds to an error of the domain what it is about.
func (r importSnapshotRequest) explain(c call, err error) error {
	if b := r.disk().UserBucket; b.S3Bucket != "" && errors.Is(err, source.ErrLocation) {
		err = &importtask.ObjectError{Bucket: b.S3Bucket, Key: b.S3Key, Err: err} // such a bucket can't exist
	}
	return about(c.Region, err) // the only subject that errors of this action name
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// digest identifies what r asks for: two requests with one client token must have
// the same. It leaves out the token itself and DryRun, and does not depend on the
// case of Format, the numbering of lists or the order of tags.
func digest(r importSnapshotRequest) string {
	r.common, r.ClientToken = common{}, ""
	if r.DiskContainer != nil {
		disk := *r.DiskContainer
		disk.Format = strings.ToUpper(disk.Format)
		r.DiskContainer = &disk
	}
	tags := sortedTags(r.tagged, taskType, snapshotType)
	r.TagSpecification = nil
	size := takeSize(&r.ClientData)
	return hashOf(r, size, tags)
}

// sortedTags returns the tags for each of the kinds, in order of their keys.
func sortedTags(t tagged, kinds ...string) (tags [][]tag.Tag) {
	for _, kind := range kinds {
		of := t.tagsFor(kind)
		slices.SortFunc(of, func(a, b tag.Tag) int { return strings.Compare(a.Key, b.Key) })
		tags = append(tags, of)
	}
	return tags
}

// takeSize takes the upload's size out of what a client says of it, if that is given: JSON
// has no NaN.
func takeSize(d **clientData) (size string) {
	if *d != nil {
		data := **d
		size, data.UploadSize = ec2Double(data.UploadSize), 0
		*d = &data
	}
	return size
}

// hashOf returns a hash of what can be encoded.
func hashOf(parts ...any) string {
	text, err := json.Marshal(parts)
	if err != nil {
		panic(err) // the types above always encode
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
