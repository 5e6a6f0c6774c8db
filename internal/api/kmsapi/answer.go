package kmsapi

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/tag"
)

// stamp is a time in the form of JSON 1.1: seconds since 1970, to the millisecond.
type stamp time.Time

// MarshalJSON implements json.Marshaler.
func (s stamp) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(s).UnixMilli())/1000, 'f', -1, 64), nil
}

type tagJSON struct{ TagKey, TagValue string }

func tagsIn(in []tagJSON) []tag.Tag {
	var out []tag.Tag
	for _, t := range in {
		out = append(out, tag.Tag{Key: t.TagKey, Value: t.TagValue})
	}
	return out
}

func tagsOut(in []tag.Tag) []tagJSON {
	out := []tagJSON{}
	for _, t := range in {
		out = append(out, tagJSON{t.Key, t.Value})
	}
	return out
}

// metadata is a key as sent to clients.
type metadata struct {
	AWSAccountId             string
	Arn                      string
	CreationDate             stamp
	CurrentKeyMaterialId     string `json:",omitempty"`
	CustomerMasterKeySpec    kms.Spec
	DeletionDate             *stamp `json:",omitempty"`
	Description              string
	Enabled                  bool
	EncryptionAlgorithms     []string `json:",omitempty"`
	KeyAgreementAlgorithms   []string `json:",omitempty"`
	KeyId                    string
	KeyManager               kms.Manager
	KeySpec                  kms.Spec
	KeyState                 kms.State
	KeyUsage                 kms.Usage
	MacAlgorithms            []string `json:",omitempty"`
	MultiRegion              bool
	MultiRegionConfiguration *multiRegion `json:",omitempty"`
	Origin                   kms.Origin
	SigningAlgorithms        []string `json:",omitempty"`
}

type multiRegion struct {
	MultiRegionKeyType string
	PrimaryKey         replica
	ReplicaKeys        []replica
}

type replica struct{ Arn, Region string }

func metadataOf(k kms.Key) metadata {
	able := func(u kms.Usage) []string {
		if u != k.Usage {
			return nil
		}
		return k.Spec.Algorithms(u)
	}
	m := metadata{
		AWSAccountId: k.Account, Arn: k.ARN(), CurrentKeyMaterialId: k.MaterialID(k.Version()), CreationDate: stamp(k.Created), CustomerMasterKeySpec: k.Spec,
		Description: k.Description, Enabled: k.State == kms.Enabled, KeyId: k.ID, KeyManager: k.Manager, KeySpec: k.Spec,
		KeyState: k.State, KeyUsage: k.Usage, MultiRegion: k.MultiRegion, Origin: k.Origin,
		EncryptionAlgorithms: able("ENCRYPT_DECRYPT"), SigningAlgorithms: able("SIGN_VERIFY"),
		MacAlgorithms: able("GENERATE_VERIFY_MAC"), KeyAgreementAlgorithms: able("KEY_AGREEMENT"),
	}
	if k.State == kms.PendingDeletion {
		date := stamp(k.Deletion)
		m.DeletionDate = &date
	}
	if k.MultiRegion {
		m.MultiRegionConfiguration = &multiRegion{"PRIMARY", replica{k.ARN(), k.Region}, []replica{}}
	}
	return m
}

// paging holds the parameters that requests for lists have in common.
type paging struct {
	Limit  *int
	Marker string
}

// pageJSON holds the fields that responses with lists have in common.
type pageJSON struct {
	NextMarker string `json:",omitempty"`
	Truncated  bool
}

// bounds holds the default and the largest size of a page.
type bounds struct{ usual, most int }

// of returns the size of the requested page, and the name that it begins behind.
func (p paging) of(b bounds) (size int, after string, err error) {
	const text = "1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value %s than or equal to %d"
	size = b.usual
	if p.Limit != nil {
		size = *p.Limit
	}
	name, err := base64.URLEncoding.DecodeString(p.Marker)
	switch {
	case err != nil:
		return 0, "", awshttp.Fault{Status: 400, Code: "InvalidMarkerException", Message: "The marker is invalid."}
	case size < 1:
		return 0, "", invalid(fmt.Sprintf(text, size, "greater", 1))
	case size > b.most:
		return 0, "", invalid(fmt.Sprintf(text, size, "less", b.most))
	}
	return size, string(name), nil
}

// page returns the requested page of a list, which is sorted by name.
func page[T any](p paging, b bounds, list []T, name func(T) string) ([]T, pageJSON, error) {
	size, after, err := p.of(b)
	if err != nil {
		return nil, pageJSON{}, err
	}
	for len(list) > 0 && len(after) > 0 && name(list[0]) <= after {
		list = list[1:]
	}
	if len(list) <= size {
		return list, pageJSON{}, nil
	}
	return list[:size], pageJSON{base64.URLEncoding.EncodeToString([]byte(name(list[size-1]))), true}, nil
}
