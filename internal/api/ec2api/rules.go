package ec2api

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/diskport/diskport/internal/api/awshttp"
)

// rule is one row of a request's validation table. Rows are tried in order and
// the first broken one is the answer, with status 400.
type rule[R any] struct {
	field   string // as the wire names it
	code    string
	message string // %s stands for what broken returns

	// broken reports whether r breaks the rule, and what is wrong, for the message.
	broken func(c call, r R) (what string, bad bool)
	// or, when rule and text belong to another package:
	check func(r R) error
}

func validate[R any](c call, r R, rules []rule[R]) error {
	for _, row := range rules {
		if row.check != nil {
			if err := row.check(r); err != nil {
				return err
			}
			continue
		}
		if what, bad := row.broken(c, r); bad {
			return refused(row.code, strings.ReplaceAll(row.message, "%s", clip(what)))
		}
	}
	return nil
}

func refused(code, message string) error {
	return awshttp.Fault{Status: 400, Code: code, Message: message}
}

// clip shortens a text that a client sent, so that it does not fill the answer.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// needed is the validation row of a parameter that must be given.
func needed[R any](field string, value func(R) string) rule[R] {
	return rule[R]{field: field, code: "MissingParameter", message: "The request must contain the parameter " + field,
		broken: func(_ call, r R) (string, bool) { return "", value(r) == "" }}
}

// short is the validation row of a text of at most 255 characters.
func short[R any](field string, value func(R) string) rule[R] {
	return rule[R]{field: field, code: "InvalidParameterValue",
		message: "Value (%s) for parameter description is invalid. It must not be longer than 255 characters.",
		broken:  func(_ call, r R) (string, bool) { return value(r), tooLong(value(r)) }}
}

func tooLong(text string) bool { return utf8.RuneCountInString(text) > 255 }

// few is the validation row of a list of at most 1000 entries.
func few[R any](field string, count func(R) int) rule[R] {
	return rule[R]{field: field, code: "InvalidParameterValue",
		message: "Value (%s) for parameter " + field + " is invalid. It must not have more than 1000 entries.",
		broken: func(_ call, r R) (string, bool) {
			return strconv.Itoa(count(r)), count(r) > 1000
		}}
}

// oneOf is the validation row of a parameter that, if it is given, is one of some words.
func oneOf[R any](parameter string, words []string, value func(R) string) rule[R] {
	return rule[R]{field: parameter, code: "InvalidParameterValue", message: "Value (%s) for parameter " + parameter + " is invalid.",
		broken: func(_ call, r R) (string, bool) {
			return value(r), value(r) != "" && !slices.Contains(words, value(r))
		}}
}

// formed is the validation row of a parameter that, if it is given, has a form.
func formed[R any](parameter string, form *regexp.Regexp, value func(R) string) rule[R] {
	return rule[R]{field: parameter, code: "InvalidParameterValue", message: "Value (%s) for parameter " + parameter + " is invalid.",
		broken: func(_ call, r R) (string, bool) {
			return value(r), value(r) != "" && !form.MatchString(value(r))
		}}
}
