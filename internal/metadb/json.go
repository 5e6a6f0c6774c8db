package metadb

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/image"
	"github.com/diskport/diskport/internal/imports/importtask"
	"github.com/diskport/diskport/internal/imports/objects"
	"github.com/diskport/diskport/internal/outbox"
	"github.com/diskport/diskport/internal/tag"
	"github.com/diskport/diskport/internal/volume"
)

// jsonColumn is the name of a column that keeps a T as JSON. The package comment
// says what may change in such a T.
type jsonColumn[T any] string

// The columns that keep JSON. Each has a golden encoding in the tests.
const (
	taskFailure      jsonColumn[importtask.Failure]   = "tasks.failure"
	taskRanges       jsonColumn[[]importtask.Range]   = "tasks.ranges"
	taskCounts       jsonColumn[importtask.Counts]    = "tasks.counts"
	taskWarnings     jsonColumn[[]string]             = "tasks.warnings"
	taskSnapshotTags jsonColumn[tag.Set]              = "tasks.snapshot_tags"
	taskMachine      jsonColumn[importtask.Machine]   = "tasks.machine"
	imageTaskSpec    jsonColumn[importtask.ImageSpec] = "image_tasks.spec"
	imageTaskFailure jsonColumn[importtask.Failure]   = "image_tasks.failure"
	unitProgress     jsonColumn[importtask.Counts]    = "units.progress"
	imageBody        jsonColumn[image.Image]          = "images.body"
	volumeSettings   jsonColumn[volume.Settings]      = "volumes.settings"
	volumeModified   jsonColumn[volume.Modification]  = "volumes.modified"
	userTags         jsonColumn[tag.Set]              = "iam_users.tags"
	roleTags         jsonColumn[tag.Set]              = "iam_roles.tags"
	profileTags      jsonColumn[tag.Set]              = "iam_instance_profiles.tags"
	policyTags       jsonColumn[tag.Set]              = "iam_managed_policies.tags"
	policyVersions   jsonColumn[[]iam.Version]        = "iam_managed_policies.versions"
	keyTags          jsonColumn[tag.Set]              = "kms_keys.tags"
	keyRotations     jsonColumn[[]kms.Rotation]       = "kms_keys.rotations"
	grantContent     jsonColumn[kms.Grant]            = "kms_grants.content"
	outboxDetail     jsonColumn[outbox.Detail]        = "outbox.detail"

	s3Metadata   jsonColumn[objects.Metadata]   = "s3_objects.metadata"
	s3Tags       jsonColumn[tag.Set]            = "s3_objects.tags"
	s3Encryption jsonColumn[objects.Encryption] = "s3_contents.encryption"
	s3UploadBody jsonColumn[uploadBody]         = "s3_uploads.body"
	s3Completion jsonColumn[completedObject]    = "s3_completions.object"
)

// jsonVersion is the version of every JSON column. Version 1 is the bare value;
// later ones are envelopes.
const jsonVersion = 1

// envelope is a value of a version above 1.
type envelope struct {
	Version int             `json:"version"`
	Value   json.RawMessage `json:"value"`
}

// envelopeStart is how envelopes begin, and nothing else: no T has such a first
// field.
const envelopeStart = `{"version":`

// VersionError reports a stored value that a newer program wrote.
type VersionError struct {
	Column  string // "tasks.failure"
	Version int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s holds a value of version %d, and this program knows version %d: a newer program wrote it, use that one", e.Column, e.Version, jsonVersion)
}

// text returns what the column keeps for v.
func (c jsonColumn[T]) text(v T) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", string(c), err)
	}
	return string(b), nil
}

// read sets v to what the column keeps. *VersionError.
func (c jsonColumn[T]) read(text string, v *T) error {
	if strings.HasPrefix(text, envelopeStart) {
		var e envelope
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			return fmt.Errorf("decode %s: %w", string(c), err)
		}
		return &VersionError{string(c), e.Version}
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("decode %s: %w", string(c), err)
	}
	return nil
}
