package policy

import (
	"fmt"
	"slices"
	"strings"
)

// maxValue is the longest value of a request, in bytes, that is compared with a
// pattern. The result for longer ones is Unknown. S3's keys, ARNs, and everything
// that AWS limits are shorter.
const maxValue = 8192

// Context holds the values of condition keys by their names in lower case, since
// the language ignores the case of names. Set and Add convert them.
type Context map[string]Values

// Values holds the values of one condition key.
type Values struct {
	name      string // as it was given
	list      []string
	ambiguous bool // more than one value was given under the name
}

func (v Values) String() string {
	if v.ambiguous {
		return "ambiguous"
	}
	return fmt.Sprint(v.list)
}

// Set sets the values of a key. A key without values counts as absent.
func (c Context) Set(key string, values ...string) {
	c[strings.ToLower(key)] = Values{name: key, list: values}
}

// Add adds a key whose name depends on what somebody chose, such as the key of a
// tag. If there is a key of that name already, in another case or with another
// value, it can't be known which is meant. Such a key is ambiguous: no Allow rests
// on it, and every Deny that tests it holds.
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

// unclear reports whether the value of a key can't be known.
func (v Values) unclear() bool {
	return v.ambiguous || slices.ContainsFunc(v.list, func(s string) bool { return len(s) > maxValue })
}

// truth says whether a proposition holds, as far as that is known. An Allow needs
// yes; a Deny holds unless the answer is no. "And" is the smaller of two, "or" the
// larger.
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
