package source

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/diskport/diskport/internal/span"
)

// Limits on how long a foreign S3 may be silent.
const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 30 * time.Second
)

// awsAddress matches the only addresses that are dialled when the endpoint is AWS's
// own.
var awsAddress = regexp.MustCompile(`^[a-z0-9.-]+\.amazonaws\.com(\.cn)?:443$`)

// client returns an HTTP client that can reach only e: whatever a URL says, it
// dials that one address, or only AWS's names. It does not follow redirects.
func (e Endpoint) client(reach func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	if reach == nil {
		reach = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if !e.AWS {
			return reach(ctx, network, e.Host)
		}
		if !awsAddress.MatchString(address) {
			return nil, fmt.Errorf("%s is none of AWS's addresses", address)
		}
		return reach(ctx, network, address)
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: span.Transport{Service: "S3", Base: &http.Transport{
			DialContext:           dial,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: answerTimeout,
			IdleConnTimeout:       time.Minute,
			MaxIdleConnsPerHost:   32,
			DisableCompression:    true, // the bytes that the ETag is of
			ForceAttemptHTTP2:     true,
		}},
	}
}
