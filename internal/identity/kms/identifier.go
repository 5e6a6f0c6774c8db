package kms

import (
	"regexp"
	"strings"

	"github.com/diskport/diskport/internal/awsid"
)

var (
	keyID     = regexp.MustCompile(`^(mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
	aliasName = regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`)
	grantID   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
)

// ManagedPrefix is the prefix of aliases that only the service may create.
const ManagedPrefix = "alias/aws/"

// Identifier is how a client names a key: a key id, an alias name, or the ARN of
// either. A key id or alias name has neither account nor region.
type Identifier struct {
	Account, Region string
	Key             string // key id, if it is not an alias
	Alias           string // alias/…, if it is one
}

// ParseIdentifier parses an identifier. As at AWS, it fails with ErrInvalidARN for
// a malformed ARN, and with ErrNotFound for other malformed text.
func ParseIdentifier(text string) (Identifier, error) {
	if !strings.HasPrefix(text, "arn:") {
		id := named(text)
		if id == (Identifier{}) {
			return id, failed(ErrNotFound, "Invalid keyId '%.256s'", text)
		}
		return id, nil
	}
	part := strings.SplitN(text, ":", 6)
	bad := failed(ErrInvalidARN, "%.256s is not a valid ARN", text)
	if len(part) != 6 || part[2] != "kms" || part[1] != awsid.Partition(part[3]) || !accountID.MatchString(part[4]) {
		return Identifier{}, bad
	}
	id := named(strings.TrimPrefix(part[5], "key/"))
	if id == (Identifier{}) || strings.HasPrefix(part[5], "key/") != (id.Key != "") {
		return Identifier{}, bad
	}
	id.Region, id.Account = part[3], part[4]
	return id, nil
}

func named(text string) Identifier {
	switch {
	case keyID.MatchString(text):
		return Identifier{Key: text}
	case aliasName.MatchString(text):
		return Identifier{Alias: text}
	}
	return Identifier{}
}
