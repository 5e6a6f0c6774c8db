package source

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Endpoint is where a foreign S3 is reached: AWS's own, or one at an address.
// The zero Endpoint is none.
type Endpoint struct {
	AWS    bool
	Scheme string // http or https; empty for AWS
	Host   string // lower case, host:port; empty for AWS
}

// ParseEndpoint reads "aws" or http[s]://host[:port].
func ParseEndpoint(text string) (Endpoint, error) {
	if text == "" || text == "aws" {
		return Endpoint{AWS: text == "aws"}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Endpoint{}, fmt.Errorf("source endpoint %q: neither aws nor http[s]://host[:port]", text)
	}
	return Endpoint{Scheme: u.Scheme, Host: address(u)}, nil
}

// String returns e as ParseEndpoint reads it.
func (e Endpoint) String() string {
	switch {
	case e.AWS:
		return "aws"
	case e.Host == "":
		return ""
	}
	return e.Scheme + "://" + e.Host
}

// address returns the host and port of a URL.
func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// at reports whether u is at e, and returns the bucket that its host names, or "".
// AWS's hosts are recognised by their form.
func (e Endpoint) at(u *url.URL) (bucket string, ok bool) {
	if e.Host == "" || !strings.EqualFold(u.Scheme, e.Scheme) {
		return "", false
	}
	where := address(u)
	if where == e.Host {
		return "", true
	}
	host, _, err := net.SplitHostPort(e.Host)
	if err != nil || net.ParseIP(host) != nil { // an address has no names below it
		return "", false
	}
	return strings.CutSuffix(where, "."+e.Host)
}
