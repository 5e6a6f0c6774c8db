package policy

import (
	"fmt"
	"slices"
	"strings"
)

// maxValue is the longest value of the request, in bytes, that is compared with
// a pattern. Of longer ones nothing is known. S3's keys, ARNs, and all that AWS
// bounds is shorter.
const maxValue = 8192

// Context holds the values of condition keys, by name in lower case, in which
// the language compares names. Set and Add take care of that.
type Context map[string]Values

// Values are those of one condition key.
type Values struct {
	name      string // as it was spelled
	list      []string
	ambiguous bool // several are meant by one name
}

func (v Values) String() string {
	if v.ambiguous {
		return "ambiguous"
	}
	return fmt.Sprint(v.list)
}

// Set gives a key its values. A key without values is as good as absent.
func (c Context) Set(key string, values ...string) {
	c[strings.ToLower(key)] = Values{name: key, list: values}
}

// Add gives a key whose name is made of what somebody chose, such as the key of a
// tag, its value. If it has one already, of a name that differs by case or of the
// same name, nobody can say which is meant: such a key is ambiguous, so that no
// Allow rests on it and every Deny that asks for it holds.
func (c Context) Add(key, value string) {
	lower := strings.ToLower(key)
	v := c[lower]
	if len(v.list) == 0 {
		v = Values{name: key, list: []string{value}}
	} else if v.name != key || !slices.Equal(v.list, []string{value}) {
		v.ambiguous = true
	}
	c[lower] = v
}

func (c Context) get(key string) Values { return c[strings.ToLower(key)] }

// unclear reports whether nothing can be said of a key.
func (v Values) unclear() bool {
	return v.ambiguous || slices.ContainsFunc(v.list, func(s string) bool { return len(s) > maxValue })
}

// truth is what is known of a statement. An Allow needs yes, a Deny holds unless
// it is no. "And" is the smaller of two, "or" the larger.
type truth int8

const (
	no truth = iota
	unknown
	yes
)

func (t truth) not() truth { return yes - t }

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}
