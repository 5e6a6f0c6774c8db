package policy

import (
	"encoding/base64"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator is one condition operator. Operators on text compare patterns, in
// which variables have been filled in; the others compare parsed values.
type operator struct {
	negated     bool
	null        bool // the Null operator asks for the key, not its value
	text        bool
	wild        bool // * and ? are wildcards in the condition's values
	compareText func(want pattern, actual string) bool
	valid       func(want string) bool
	compare     func(want, actual string) bool
}

// operatorNamed is the table of operators. IfExists and the quantifiers have
// been taken off the name.
func operatorNamed(name string) (operator, bool) {
	switch name {
	case "StringEquals", "StringNotEquals":
		return onText(name, false, pattern.match), true
	case "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase":
		return onText(name, false, matchFold), true
	case "StringLike", "StringNotLike":
		return onText(name, true, pattern.match), true
	case "ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike":
		return onText(name, true, matchARN), true
	case "Bool", "Null":
		return operator{null: name == "Null", valid: isBool, compare: strings.EqualFold}, true
	case "BinaryEquals":
		return operator{valid: isBase64, compare: func(want, actual string) bool { return want == actual }}, true
	case "IpAddress", "NotIpAddress":
		return operator{negated: name == "NotIpAddress", valid: isPrefix, compare: inPrefix}, true
	}
	if relation, ok := strings.CutPrefix(name, "Numeric"); ok {
		return ordered(relation, parseNumber, (*big.Float).Cmp)
	}
	if relation, ok := strings.CutPrefix(name, "Date"); ok {
		return ordered(relation, parseDate, time.Time.Compare)
	}
	return operator{}, false
}

func onText(name string, wild bool, compare func(pattern, string) bool) operator {
	return operator{negated: strings.Contains(name, "Not"), text: true, wild: wild, compareText: compare}
}

// ordered makes the six relations on values that parse reads. A value of the
// request that does not parse matches nothing.
func ordered[T any](relation string, parse func(string) (T, bool), compare func(a, b T) int) (operator, bool) {
	var holds func(sign int) bool // of actual compared with want
	switch relation {
	case "Equals", "NotEquals":
		holds = func(sign int) bool { return sign == 0 }
	case "LessThan":
		holds = func(sign int) bool { return sign < 0 }
	case "LessThanEquals":
		holds = func(sign int) bool { return sign <= 0 }
	case "GreaterThan":
		holds = func(sign int) bool { return sign > 0 }
	case "GreaterThanEquals":
		holds = func(sign int) bool { return sign >= 0 }
	default:
		return operator{}, false
	}
	return operator{
		negated: relation == "NotEquals",
		valid:   func(want string) bool { _, ok := parse(want); return ok },
		compare: func(want, actual string) bool {
			w, okWant := parse(want)
			a, okActual := parse(actual)
			return okWant && okActual && holds(compare(a, w))
		},
	}, true
}

// matchFold compares without regard to case. Its patterns have no wildcards.
func matchFold(p pattern, actual string) bool {
	var b strings.Builder
	for _, t := range p {
		b.WriteRune(rune(t))
	}
	return strings.EqualFold(b.String(), actual)
}

// matchARN compares the six parts of an ARN one by one: a wildcard does not
// reach over a colon, but for a pattern that is one star.
func matchARN(p pattern, actual string) bool {
	if len(p) == 1 && p[0] == anyRun {
		return true
	}
	want, got := p.split(6), strings.SplitN(actual, ":", 6)
	if len(want) != 6 || len(got) != 6 {
		return false
	}
	for i := range want {
		if !want[i].match(got[i]) {
			return false
		}
	}
	return true
}

func isBool(want string) bool {
	return strings.EqualFold(want, "true") || strings.EqualFold(want, "false")
}

func isBase64(want string) bool {
	_, err := base64.StdEncoding.DecodeString(want)
	return err == nil
}

func parsePrefix(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		return netip.PrefixFrom(addr, addr.BitLen()), err == nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil
}

func isPrefix(want string) bool { _, ok := parsePrefix(want); return ok }

func inPrefix(want, actual string) bool {
	prefix, ok := parsePrefix(want)
	addr, err := netip.ParseAddr(actual)
	return ok && err == nil && prefix.Contains(addr.Unmap())
}

// parseNumber is exact, so that large integers differ where they differ.
func parseNumber(text string) (*big.Float, bool) {
	const longest = 40 // an exponent is allowed, a flood of digits isn't
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || len(text) > longest || f-f != 0 || strings.ContainsAny(text, "xX_") {
		return nil, false
	}
	n, _, err := big.ParseFloat(text, 10, 160, big.ToNearestEven)
	return n, err == nil
}

// parseDate reads a W3C date, or seconds since 1970.
func parseDate(text string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil && len(text) <= 12
}
