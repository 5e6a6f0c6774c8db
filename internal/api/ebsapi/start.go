package ebsapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/store/snapshot"
	"github.com/diskport/diskport/internal/tag"
)

// startRequest is the body of StartSnapshot.
type startRequest struct {
	VolumeSize       *int64 // GiB
	ParentSnapshotId string
	Tags             []tag.Tag
	Description      string
	ClientToken      string
	Encrypted        bool
	KmsKeyArn        string
	Timeout          *int64 // minutes
}

// Bounds of a StartSnapshot.
const (
	mostGiB        = 64 << 10
	leastTimeout   = 10 // minutes
	mostTimeout    = 4320
	defaultTimeout = 60
	longestText    = 255 // description and client token
)

// startRules are the validation rows of StartSnapshot; the first that is broken is
// the answer.
var startRules = []struct {
	fault  awshttp.Fault
	broken func(r startRequest) bool
}{
	{errBare, func(r startRequest) bool { return r.VolumeSize == nil }},
	{invalid("INVALID_VOLUME_SIZE", "The volume size must be between 1 and 65536 GiB."), func(r startRequest) bool {
		return *r.VolumeSize < 1 || *r.VolumeSize > mostGiB
	}},
	{errBare, func(r startRequest) bool {
		return r.ParentSnapshotId != "" && !snapshotID.MatchString(r.ParentSnapshotId)
	}},
	{errBare, func(r startRequest) bool { return utf8.RuneCountInString(r.Description) > longestText }},
	{errBare, func(r startRequest) bool {
		return len(r.ClientToken) > longestText || strings.ContainsFunc(r.ClientToken, func(c rune) bool { return c < 32 || c > 126 })
	}},
	{errBare, func(r startRequest) bool {
		return r.Timeout != nil && (*r.Timeout < leastTimeout || *r.Timeout > mostTimeout)
	}},
	{invalid("INVALID_PARAMETER_VALUE", "The parameters Encrypted and ParentSnapshotId cannot be used together."), func(r startRequest) bool {
		return r.Encrypted && r.ParentSnapshotId != ""
	}},
	{errBare, func(r startRequest) bool { return r.KmsKeyArn != "" && !keyARN.MatchString(r.KmsKeyArn) }},
}

// keyARN is the only form that names a key here; key ids and aliases do not.
var keyARN = regexp.MustCompile(`^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+$`)

// startAnswer is a StartSnapshot's answer. Absent members are null.
type startAnswer struct {
	BlockSize        int
	Description      *string
	KmsKeyArn        string `json:",omitempty"`
	OwnerId          string
	ParentSnapshotId string `json:",omitempty"`
	SnapshotId       string
	StartTime        epoch
	Status           snapshot.State
	Tags             tag.Set
	VolumeSize       int64
}

func (a *API) startSnapshot(ctx context.Context, w http.ResponseWriter, r request) error {
	q := r.start
	for _, rule := range startRules {
		if rule.broken(q) {
			return rule.fault
		}
	}
	if err := tag.Validate(q.Tags); err != nil {
		var broken *tag.Error
		errors.As(err, &broken)
		return invalid("INVALID_TAG", broken.Message)
	}
	rec, err := a.start(ctx, r, q)
	if err != nil {
		return about(q.ParentSnapshotId, err)
	}
	answer := startAnswer{
		BlockSize: block.Size, KmsKeyArn: rec.KMSKey, OwnerId: rec.Account, ParentSnapshotId: rec.Parent, SnapshotId: rec.ID,
		StartTime: epoch(rec.StartedAt), Status: rec.State, Tags: rec.Tags, VolumeSize: rec.VolumeSize,
	}
	if rec.Description != "" {
		answer.Description = &rec.Description
	}
	awshttp.WriteJSON(w, http.StatusCreated, answer)
	return nil
}

// authorize asks for the right to start a snapshot and, where it has tags, to give it
// those.
func (q startRequest) authorize(ctx context.Context, r request) error {
	with, all := q.context(r.Region), awsid.SnapshotARN(r.Region, "*")
	if err := r.Authorize(ctx, "ebs:StartSnapshot", with, all); err != nil || len(q.Tags) == 0 {
		return err
	}
	with.Set("ec2:CreateAction", startSnapshot)
	return r.Authorize(ctx, "ec2:CreateTags", with, all)
}

// parseStart reads a body, strictly: to accept what does nothing would be worse.
func parseStart(body []byte) (q startRequest, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	strict := d.Decode(&q)
	switch {
	case strict == nil && !d.More():
		return q, nil
	case strict != nil && json.Unmarshal(body, &q) == nil:
		return q, invalid("INVALID_PARAMETER_VALUE", "A parameter of the request is not supported: "+clip(strict.Error()))
	}
	return q, awshttp.Fault{Status: http.StatusBadRequest, Code: "SerializationException"}
}

// start starts a snapshot, or returns the one that the client token started, even
// if parent, key or defaults have changed since.
func (a *API) start(ctx context.Context, r request, q startRequest) (snapshot.Record, error) {
	ask := q.ask(r)
	rec, ok, err := a.Drafts.Replay(ctx, ask.Home, ask.Token, ask.Digest)
	if ok || err != nil {
		return rec, err
	}
	if ask.Encrypt, err = a.encryption(ctx, r, q); err != nil {
		return rec, err
	}
	rec, err = a.Drafts.Start(ctx, ask)
	logkey.NoteID(ctx, rec.ID)
	return rec, err
}

// encryption returns how the new snapshot is encrypted; nil if it is not, or as its
// parent is.
func (a *API) encryption(ctx context.Context, r request, q startRequest) (*snapshot.Encryption, error) {
	d, err := a.Defaults.Defaults(ctx, r.Home())
	switch {
	case err != nil:
		return nil, err
	case q.KmsKeyArn != "" && !q.Encrypted && !d.Encrypt:
		return nil, invalid("INVALID_PARAMETER_VALUE", "The parameter KmsKeyArn requires the parameter Encrypted to be true.")
	case q.KmsKeyArn != "" && q.ParentSnapshotId != "":
		return nil, invalid("INVALID_PARAMETER_VALUE", "The parameters KmsKeyArn and ParentSnapshotId cannot be used together.")
	case q.ParentSnapshotId != "" && d.Encrypt:
		parent, err := a.Snapshots.Get(ctx, r.Region, q.ParentSnapshotId)
		if err == nil && !parent.ReadableBy(r.Principal.Account) {
			err = snapshot.ErrNotFound
		}
		if err == nil && parent.KMSKey == "" {
			err = invalid("INVALID_PARAMETER_VALUE", "The parent snapshot '"+q.ParentSnapshotId+"' is not encrypted, and encryption by default is on.")
		}
		return nil, err
	case q.ParentSnapshotId != "":
		return nil, nil
	}
	return d.Encryption(snapshot.EncryptionRequest{Encrypted: q.Encrypted, Key: q.KmsKeyArn}), nil
}

// context returns what policies may ask about the request.
func (q startRequest) context(region string) policy.Context {
	with := policy.Context{}
	keys := make([]string, len(q.Tags))
	for i, t := range q.Tags {
		keys[i] = t.Key
		with.Add("aws:RequestTag/"+t.Key, t.Value)
	}
	with.Set("aws:TagKeys", keys...)
	if q.Description != "" {
		with.Set("ebs:Description", q.Description)
	}
	if q.ParentSnapshotId != "" {
		with.Set("ebs:ParentSnapshot", awsid.SnapshotARN(region, q.ParentSnapshotId))
	}
	if q.VolumeSize != nil {
		with.Set("ebs:VolumeSize", strconv.FormatInt(*q.VolumeSize, 10))
	}
	return with
}

// ask returns the request to the domain, once the body has passed the rules.
func (q startRequest) ask(r request) snapshot.StartRequest {
	minutes := int64(defaultTimeout)
	if q.Timeout != nil {
		minutes = *q.Timeout
	}
	tags, _ := tag.Set(nil).Merge(q.Tags) // validated
	return snapshot.StartRequest{
		Home: r.Home(), Caller: r.KeyUser(), Token: q.ClientToken, Digest: q.digest(), Description: q.Description, VolumeSize: *q.VolumeSize,
		Parent: q.ParentSnapshotId, Timeout: time.Duration(minutes) * time.Minute, Tags: tags,
	}
}

// digest identifies what is asked for: requests with one client token must have the
// same.
func (q startRequest) digest() string {
	q.ClientToken = ""
	q.Tags = slices.SortedFunc(slices.Values(q.Tags), func(a, b tag.Tag) int { return strings.Compare(a.Key, b.Key) })
	text, err := json.Marshal(q)
	if err != nil {
		panic(err) // the types above always encode
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
