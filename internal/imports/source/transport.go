package source

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"time"
)

// Limits on how long a foreign S3 may be silent.
const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
)

// awsAddress is all that is dialled where the endpoint is AWS's own.
var awsAddress = regexp.MustCompile(`^[a-z0-9.-]+\.amazonaws\.com(\.cn)?:443$`)

// client returns an HTTP client that can reach e and nothing else: whatever a
// URL or a redirect says, one address is dialled, or AWS's names alone.
// Redirects are answers, not followed.
func (e Endpoint) client() *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if !e.AWS {
			return dialer.DialContext(ctx, network, e.Host)
		}
		if !awsAddress.MatchString(address) {
			return nil, fmt.Errorf("%s is none of AWS's addresses", address)
		}
		return dialer.DialContext(ctx, network, address)
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:           dial,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: answerTimeout,
			IdleConnTimeout:       time.Minute,
			MaxIdleConnsPerHost:   32,
			DisableCompression:    true, // the bytes that the ETag is of
			ForceAttemptHTTP2:     true,
		},
	}
}
