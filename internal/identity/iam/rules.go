package iam

import (
	"fmt"
	"regexp"
	"unicode"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/identity/policy"
)

// IAM's default quotas. Sizes are in characters, not counting white space.
const (
	maxUsers       = 5000
	maxRoles       = 1000
	maxProfiles    = 1000
	maxManaged     = 1500 // managed policies of an account
	maxAttached    = 10   // of one owner
	maxVersions    = 5    // of one managed policy
	maxKeys        = 2    // of one user
	maxTrust       = 2048
	maxUserInline  = 2048 // all inline policies of a user together
	maxRoleInline  = 10240
	maxManagedSize = 6144
	maxBytes       = 2 // factor on a quota: limit for the stored text, in bytes
	maxDescription = 1000
	maxNameLen     = 64
	maxPolicyName  = 128
	maxPathLen     = 512
)

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	keyIDForm   = regexp.MustCompile(`^[A-Za-z0-9_-]{3,128}$`)
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]+$`)
	pathForm    = regexp.MustCompile(`^(/|/[\x21-\x7e]+/)$`)
	textForm    = regexp.MustCompile(`^[\t\n\r\x20-\x7e\x{a1}-\x{ff}]*$`)
)

func checkName(field, name string, most int) error {
	const length = "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length %s than or equal to %d"
	switch {
	case name == "":
		return &ValidationError{fmt.Sprintf(length, field, "greater", 1)}
	case len(name) > most:
		return &ValidationError{fmt.Sprintf(length, field, "less", most)}
	case !nameForm.MatchString(name):
		return &ValidationError{"The specified value for " + field + " is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"}
	}
	return nil
}

func checkRole(name string) error { return checkName("roleName", name, maxNameLen) }

func checkUser(name string) error { return checkName("userName", name, maxNameLen) }

func checkProfile(name string) error { return checkName("instanceProfileName", name, maxPolicyName) }

func checkPolicy(name string) error { return checkName("policyName", name, maxPolicyName) }

// check applies checkName to the name of an owner.
func (o Owner) check() error {
	if o.Kind == KindUser {
		return checkUser(o.Name)
	}
	return checkRole(o.Name)
}

func checkPath(path string) error {
	if len(path) > maxPathLen || !pathForm.MatchString(path) {
		return &ValidationError{"The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."}
	}
	return nil
}

func checkDescription(text string) error {
	const failed = "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must "
	switch {
	case utf8.RuneCountInString(text) > maxDescription:
		return &ValidationError{fmt.Sprintf(failed+"have length less than or equal to %d", maxDescription)}
	case !textForm.MatchString(text):
		return &ValidationError{failed + `satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`}
	}
	return nil
}

// accept returns a document as it is to be stored, without white space between
// tokens, or an error that says why it is refused: *policy.SyntaxError or
// *LimitError. The quotas ignore white space inside strings too, which is stored,
// so the stored text also has a limit in bytes.
func accept(document string, kind policy.Kind, most int, quota string) (string, error) {
	if err := checkDocument(document, kind); err != nil {
		return "", err
	}
	_, canonical, err := policy.Accept(document, kind)
	if err != nil {
		return "", err
	}
	if weight(canonical) > most || len(canonical) > maxBytes*most {
		return "", &LimitError{fmt.Sprintf("Cannot exceed quota for %s: %d", quota, most)}
	}
	return canonical, nil
}

// checkDocument refuses a document that is missing.
func checkDocument(document string, kind policy.Kind) error {
	field := "policyDocument"
	if kind == policy.Trust {
		field = "assumeRolePolicyDocument"
	}
	if document == "" {
		return &ValidationError{"1 validation error detected: Value at '" + field + "' failed to satisfy constraint: Member must have length greater than or equal to 1"}
	}
	return nil
}

// acceptTrust is accept for a trust policy.
func acceptTrust(document string) (string, error) {
	return accept(document, policy.Trust, maxTrust, "ACLSizePerRole")
}

// checkTrust is acceptTrust for a policy that is already stored.
func checkTrust(document string) error {
	_, err := acceptTrust(document)
	return err
}

// acceptManaged is accept for a version of a managed policy.
func acceptManaged(document string) (string, error) {
	return accept(document, policy.Identity, maxManagedSize, "PolicySize")
}

// weight returns the size of a policy as IAM measures it: characters other than
// white space.
func weight(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}
