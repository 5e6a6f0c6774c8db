package iam

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/identity/policy"
	"github.com/diskport/diskport/internal/tag"
)

// Limits on the tags of a session. Lengths are in characters.
const (
	maxSessionTags  = tag.MaxPerResource
	maxSessionKey   = tag.MaxKey
	maxSessionValue = tag.MaxValue
	// maxPacked is the room for a session's policies and tags, in bytes, so that its
	// token fits in a header.
	maxPacked = 6 << 10
)

const (
	tagSession = "sts:TagSession"
	tagPattern = `[\p{L}\p{Z}\p{N}_.:/=+\-@]`
)

var tagForm = regexp.MustCompile(`^` + tagPattern + `*$`)

// SessionTagError reports tags that a session can't have. Its text may be shown to the
// client.
type SessionTagError struct{ Message string }

func (e *SessionTagError) Error() string { return e.Message }

// PackedError reports that a session's policies and tags take more room than there is.
// Its text may be shown to the client.
type PackedError struct {
	Policies bool // there are policies, not tags alone
	Percent  int  // of the room that they would take
}

func (e *PackedError) Error() string {
	what := "session tags"
	if e.Policies {
		what = "session policies and tags"
	}
	return fmt.Sprintf("Packed size of %s consumes %d%% of allotted space.", what, e.Percent)
}

// sameKey reports whether two keys of tags are one to conditions.
func sameKey(a, b string) bool { return folded(a) == folded(b) }

// sameTagKeys is IAM's and STS's text about tags of one request.
const sameTagKeys = "Duplicate tag keys found. Please note that Tag keys are case insensitive."

// folded returns a key as policy.Context has it. strings.EqualFold knows other pairs.
func folded(key string) string { return strings.ToLower(key) }

// hasKey reports whether there is a tag with the key.
func hasKey(tags []tag.Tag, key string) bool {
	return slices.ContainsFunc(tags, func(t tag.Tag) bool { return sameKey(t.Key, key) })
}

// checkSessionTags refuses tags that no session can have.
func checkSessionTags(tags []tag.Tag) error {
	const failed = "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must "
	if len(tags) > maxSessionTags {
		return &ValidationError{fmt.Sprintf(failed+"have length less than or equal to %d", "tags", maxSessionTags)}
	}
	for i, t := range tags {
		for _, text := range []struct {
			at, value   string
			least, most int
		}{{"key", t.Key, 1, maxSessionKey}, {"value", t.Value, 0, maxSessionValue}} {
			at, length := fmt.Sprintf("tags.%d.member.%s", i+1, text.at), utf8.RuneCountInString(text.value)
			switch {
			case length < text.least:
				return &ValidationError{fmt.Sprintf(failed+"have length greater than or equal to %d", at, text.least)}
			case length > text.most:
				return &ValidationError{fmt.Sprintf(failed+"have length less than or equal to %d", at, text.most)}
			case !tagForm.MatchString(text.value):
				return &ValidationError{fmt.Sprintf(failed+"satisfy regular expression pattern: %s%s", at, tagPattern, []string{"*", "+"}[text.least])}
			case tag.Reserved(text.value):
				return &SessionTagError{"Tag keys and values starting with 'aws:' are reserved for internal use"}
			}
		}
		if hasKey(tags[:i], t.Key) {
			return &SessionTagError{sameTagKeys}
		}
	}
	return nil
}

// checkTags refuses tags that the session of the call can't have: no session can, or the
// caller's own session hands on others with these keys.
func (call RoleCall) checkTags() error {
	if err := checkSessionTags(call.Tags); err != nil {
		return err
	}
	if len(call.Transitive) > maxSessionTags {
		return &ValidationError{fmt.Sprintf("1 validation error detected: Value at 'transitiveTagKeys' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionTags)}
	}
	for _, key := range call.Transitive {
		if !hasKey(call.Tags, key) {
			return &SessionTagError{"The specified transitive tag key must be included in the requested tags."}
		}
	}
	for _, t := range call.Caller.transitive {
		if hasKey(call.Tags, t.Key) {
			return &SessionTagError{"One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."}
		}
	}
	return nil
}

// tagsSession reports whether the session of the call gets tags, its own or inherited
// ones, for which a permission of its own is needed.
func (call RoleCall) tagsSession() bool { return len(call.Tags)+len(call.Caller.transitive) > 0 }

// addTags adds the condition keys about the tags of the session that is asked for.
func (call RoleCall) addTags(c policy.Context) {
	Details{RequestTags: call.Tags}.AddTo(c)
	if len(call.Transitive) > 0 {
		c.Set("sts:TransitiveTagKeys", call.Transitive...)
	}
}

// tagged gives the session of a role its tags: the call's, and those that it inherits.
func (of *session) tagged(call RoleCall) {
	of.Tags = slices.Concat(call.Tags, call.Caller.transitive)
	of.Transitive = slices.Clone(call.Transitive)
	for _, t := range call.Caller.transitive {
		of.Transitive = append(of.Transitive, t.Key)
	}
}

// overlay returns the tags of a principal whose session has tags of its own, which take
// the place of the user's or role's tags with the same keys.
func (of session) overlay(tags tag.Set) tag.Set {
	if len(of.Tags) == 0 {
		return tags
	}
	all := slices.DeleteFunc(slices.Clone(tags), func(t tag.Tag) bool { return hasKey(of.Tags, t.Key) })
	return append(all, of.Tags...)
}

// handedOn returns the tags of the session that are inherited by sessions of the roles
// that it assumes.
func (of session) handedOn() (tags tag.Set) {
	for _, t := range of.Tags {
		if slices.ContainsFunc(of.Transitive, func(key string) bool { return sameKey(key, t.Key) }) {
			tags = append(tags, t)
		}
	}
	return tags
}

// packed returns how much of the room for session policies and tags is used, in
// percent. It fails with *PackedError above 100.
func (of session) packed() (percent int, err error) {
	size := len(of.Policy)
	for _, arn := range of.PolicyARNs {
		size += len(arn)
	}
	policies := size > 0
	for _, t := range of.Tags {
		size += len(t.Key) + len(t.Value)
	}
	percent = (size*100 + maxPacked - 1) / maxPacked
	if percent > 100 {
		return percent, &PackedError{policies, percent}
	}
	return percent, nil
}
