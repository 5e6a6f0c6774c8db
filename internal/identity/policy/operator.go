package policy

import (
	"encoding/base64"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator is one condition operator. Operators on text match patterns, with
// variables already filled in; the others make a test function of each value.
type operator struct {
	negated bool
	null    bool // the Null operator, which tests whether the key is present
	wild    bool // * and ? are wildcards in the condition's values
	match   func(w *Work, want pattern, actual string) bool
	compile func(want string) (test func(actual string) bool, ok bool)
}

// operatorNamed is the table of operators. The caller has already removed IfExists
// and the quantifier from the name.
func operatorNamed(name string) (operator, bool) {
	switch name {
	case "StringEquals", "StringNotEquals":
		return onText(name, false, matchText), true
	case "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase":
		return onText(name, false, matchFold), true
	case "StringLike", "StringNotLike":
		return onText(name, true, matchText), true
	case "ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike":
		return onText(name, true, matchARN), true
	case "Bool", "Null":
		return operator{null: name == "Null", compile: testBool}, true
	case "BinaryEquals":
		return operator{compile: testBinary}, true
	case "IpAddress", "NotIpAddress":
		return operator{negated: name == "NotIpAddress", compile: testPrefix}, true
	}
	if relation, ok := strings.CutPrefix(name, "Numeric"); ok {
		return ordered(relation, parseNumber, (*big.Float).Cmp)
	}
	if relation, ok := strings.CutPrefix(name, "Date"); ok {
		return ordered(relation, parseDate, time.Time.Compare)
	}
	return operator{}, false
}

func onText(name string, wild bool, match func(*Work, pattern, string) bool) operator {
	return operator{negated: strings.Contains(name, "Not"), wild: wild, match: match}
}

// ordered returns an operator for one of the six relations on values that parse
// reads. A value of the request that parse rejects matches nothing.
func ordered[T any](relation string, parse func(string) (T, bool), compare func(a, b T) int) (operator, bool) {
	var holds func(sign int) bool // sign of actual compared with want
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
		compile: func(want string) (func(string) bool, bool) {
			w, ok := parse(want)
			return func(actual string) bool {
				a, ok := parse(actual)
				return ok && holds(compare(a, w))
			}, ok
		},
	}, true
}

func matchText(w *Work, p pattern, actual string) bool { return p.match(w, actual) }

// matchFold compares without regard to case. Its patterns have no wildcards.
func matchFold(w *Work, p pattern, actual string) bool {
	w.spend(min(len(p), len(actual)))
	return strings.EqualFold(string(p), actual)
}

// matchARN compares the six parts of an ARN one by one: a wildcard does not match
// across colons, unless the whole pattern is one star.
func matchARN(w *Work, p pattern, actual string) bool {
	if p == anyRun {
		return true
	}
	w.spend(len(p))
	want, got := strings.SplitN(string(p), ":", 6), strings.SplitN(actual, ":", 6)
	if len(want) != 6 || len(got) != 6 {
		return false
	}
	for i := range want {
		if !pattern(want[i]).match(w, got[i]) {
			return false
		}
	}
	return true
}

func isBool(want string) bool {
	return strings.EqualFold(want, "true") || strings.EqualFold(want, "false")
}

func testBool(want string) (func(string) bool, bool) {
	return func(actual string) bool { return strings.EqualFold(want, actual) }, isBool(want)
}

func testBinary(want string) (func(string) bool, bool) {
	_, err := base64.StdEncoding.DecodeString(want)
	return func(actual string) bool { return want == actual }, err == nil
}

func testPrefix(want string) (func(string) bool, bool) {
	prefix, ok := parsePrefix(want)
	return func(actual string) bool {
		addr, err := netip.ParseAddr(actual)
		return err == nil && prefix.Contains(addr.Unmap())
	}, ok
}

func parsePrefix(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		return netip.PrefixFrom(addr, addr.BitLen()), err == nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil
}

// parseNumber parses a number exactly, so that large integers that differ by little
// still differ.
func parseNumber(text string) (*big.Float, bool) {
	const longest = 40 // an exponent is allowed, a very long number isn't
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || len(text) > longest || f-f != 0 || strings.ContainsAny(text, "xX_") {
		return nil, false
	}
	n, _, err := big.ParseFloat(text, 10, 160, big.ToNearestEven)
	return n, err == nil
}

// parseDate parses a W3C date, or seconds since 1970.
func parseDate(text string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(form, text); err == nil {
			return t, true
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil && len(text) <= 12
}
