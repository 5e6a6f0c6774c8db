package s3api

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/diskport/diskport/internal/imports/objects"
)

type corsXML struct {
	XMLName xml.Name   `xml:"CORSConfiguration"`
	Rules   []corsRule `xml:"CORSRule"`
}

// corsRule lets pages of some origins ask for what is in a bucket.
type corsRule struct {
	ID            string   `xml:",omitempty"`
	AllowedHeader []string `xml:",omitempty"`
	AllowedMethod []string
	AllowedOrigin []string
	ExposeHeader  []string `xml:",omitempty"`
	MaxAgeSeconds *int     `xml:",omitempty"`
}

const maxCORSRules = 100 // as at AWS

func getBucketCORS(ctx context.Context, c *call) error {
	rules, err := c.corsRules(ctx, c.bucket.Name)
	if err != nil {
		return err
	}
	if rules == nil {
		return fail(http.StatusNotFound, "NoSuchCORSConfiguration", "The CORS configuration does not exist", element{"BucketName", c.bucket.Name})
	}
	return c.answer(struct {
		XMLName xml.Name   `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CORSConfiguration"`
		Rules   []corsRule `xml:"CORSRule"`
	}{Rules: rules})
}

func putBucketCORS(ctx context.Context, c *call) error {
	var in corsXML
	if err := c.decode(&in); err != nil {
		return err
	}
	if len(in.Rules) == 0 || len(in.Rules) > maxCORSRules {
		return malformedXML()
	}
	for _, r := range in.Rules {
		if len(r.AllowedMethod) == 0 || len(r.AllowedOrigin) == 0 {
			return malformedXML()
		}
		for _, m := range r.AllowedMethod {
			if !slices.Contains([]string{"GET", "PUT", "POST", "DELETE", "HEAD"}, m) {
				return invalidRequest("Found unsupported HTTP method in CORS config. Unsupported method is " + m)
			}
		}
		for _, pattern := range slices.Concat(r.AllowedOrigin, r.AllowedHeader) {
			if strings.Count(pattern, "*") > 1 {
				return invalidRequest("AllowedOrigin \"" + pattern + "\" can not have more than one wildcard.")
			}
		}
	}
	if err := c.setSetting(ctx, c.bucket.Name, corsSetting, c.document); err != nil {
		return err
	}
	return c.done(http.StatusOK)
}

// corsRules returns the rules of a bucket; nil: there are none.
func (c *call) corsRules(ctx context.Context, bucket string) ([]corsRule, error) {
	document, err := c.setting(ctx, bucket, corsSetting)
	if err != nil || document == nil {
		return nil, err
	}
	var in corsXML
	if err := decodeXML(document, &in); err != nil {
		return nil, err
	}
	return in.Rules, nil
}

// preflight answers a browser that asks whether a page may make a request. Such a
// question is never signed.
func (c *call) preflight(ctx context.Context) error {
	c.Action = "OptionsObject"
	origin, method := c.r.Header.Get("Origin"), c.r.Header.Get("Access-Control-Request-Method")
	switch {
	case origin == "":
		return fail(http.StatusBadRequest, "BadRequest", "Insufficient information. Origin request header needed.")
	case method == "":
		return fail(http.StatusBadRequest, "BadRequest", "Invalid Access-Control-Request-Method: null")
	}
	rules, err := c.corsRules(ctx, c.target.bucket)
	if errors.Is(err, objects.ErrNoSuchBucket) {
		return noSuchBucket(c.target.bucket)
	}
	if err != nil {
		return err
	}
	if rules == nil {
		return fail(http.StatusForbidden, "AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.", element{"Method", method}, element{"ResourceType", c.level().String()})
	}
	var headers []string
	for name := range strings.SplitSeq(c.r.Header.Get("Access-Control-Request-Headers"), ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			headers = append(headers, name)
		}
	}
	rule, ok := matchRule(rules, origin, method, headers)
	if !ok {
		return fail(http.StatusForbidden, "AccessForbidden",
			"CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
			element{"Method", method}, element{"ResourceType", c.level().String()})
	}
	rule.show(c.w.Header(), origin)
	if len(headers) > 0 {
		c.w.Header().Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
	}
	return c.done(http.StatusOK)
}

// allowOrigin adds the headers without which a browser keeps an answer from a page.
func (c *call) allowOrigin(ctx context.Context) {
	origin := c.r.Header.Get("Origin")
	if origin == "" || c.bucket.Name == "" {
		return
	}
	rules, err := c.corsRules(ctx, c.bucket.Name)
	if err != nil {
		return // the request itself goes on
	}
	if rule, ok := matchRule(rules, origin, c.r.Method, nil); ok {
		rule.show(c.w.Header(), origin)
	}
}

func matchRule(rules []corsRule, origin, method string, headers []string) (corsRule, bool) {
	i := slices.IndexFunc(rules, func(r corsRule) bool {
		return slices.Contains(r.AllowedMethod, method) &&
			slices.ContainsFunc(r.AllowedOrigin, func(p string) bool { return wildcard(p, origin) }) &&
			!slices.ContainsFunc(headers, func(name string) bool {
				return !slices.ContainsFunc(r.AllowedHeader, func(p string) bool { return wildcard(strings.ToLower(p), name) })
			})
	})
	if i < 0 {
		return corsRule{}, false
	}
	return rules[i], true
}

// wildcard compares text with a pattern that may have one asterisk.
func wildcard(pattern, text string) bool {
	before, after, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == text
	}
	return len(text) >= len(before)+len(after) && strings.HasPrefix(text, before) && strings.HasSuffix(text, after)
}

func (r corsRule) show(h http.Header, origin string) {
	if slices.Contains(r.AllowedOrigin, "*") {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(r.AllowedMethod, ", "))
	if len(r.ExposeHeader) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(r.ExposeHeader, ", "))
	}
	if r.MaxAgeSeconds != nil {
		h.Set("Access-Control-Max-Age", strconv.Itoa(*r.MaxAgeSeconds))
	}
	h.Add("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
}
