package policy

import (
	"context"
	"fmt"
)

// unset lists condition keys that AWS sets for an action and this service does not:
// the key in lower case, and the actions built here for which AWS sets it. The keys
// that the service does set are listed in docs/conditions.md. Some keys are missing
// here exactly as they would be at AWS, because the account has no organisation,
// endpoint or second factor, or because the parameter that would set the key is
// refused. They are evaluated as at AWS.
var unset = []struct {
	key     string
	actions []string
	why     string
}{
	{
		"kms:reencryptonsamekey", []string{"kms:reencryptfrom", "kms:reencryptto"},
		"the two keys of a ReEncrypt are judged one after the other",
	},
}

// checkKeys refuses a statement that does less than it promises because a key is
// never set: a Deny that could never hold, and an Allow whose condition always
// holds. The other two, an Allow that never holds and a Deny that always does, give
// nobody more than they say.
func (d Document) checkKeys() error {
	w := NewWork(context.Background()) // only action names are matched: little work, and no request to end with
	for i := range d.statements {
		s := &d.statements[i]
		for j := range s.conditions {
			c := &s.conditions[j]
			if c.holdsWithout() == s.deny {
				continue
			}
			if action, why := s.untold(w, c.key); action != "" {
				text := fmt.Sprintf("the service does not know the condition key %.128s of %s: %s. With it this statement %s", c.key, action, why, s.promise())
				return &SyntaxError{Reason: text, Text: text}
			}
		}
	}
	return nil
}

// untold returns an action that s covers and for which the key is never set, and
// the reason.
func (s *statement) untold(w *Work, key string) (action, why string) {
	for _, row := range unset {
		if key != row.key {
			continue
		}
		for _, action := range row.actions {
			if s.coversAction(w, action) {
				return action, row.why
			}
		}
	}
	return "", ""
}

func (s *statement) promise() string {
	if s.deny {
		return "would never deny anything"
	}
	return "would allow without regard to the condition"
}
