package s3gate

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/logkey"
)

// callKey is where a request's context holds its Call for the error handler.
type callKey struct{}

func withCall(r *http.Request, c *awshttp.Call) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callKey{}, c))
}

// newProxy returns a handler that forwards requests over transport as they came.
func newProxy(transport http.RoundTripper, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Transport:      transport,
		Rewrite:        rewrite,
		FlushInterval:  -1, // a listing or a download must not wait for a buffer
		ModifyResponse: modifyResponse,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			c := r.Context().Value(callKey{}).(*awshttp.Call)
			if r.Context().Err() == nil {
				log.ErrorContext(r.Context(), "forwarding to the embedded S3", logkey.Request, c.RequestID, logkey.Error, err)
			}
			c.Fail(w, fault(unavailable))
		},
	}
}

// rewrite undoes what ReverseProxy does to a request's address and headers.
func rewrite(pr *httputil.ProxyRequest) {
	path, query, found := strings.Cut(pr.In.RequestURI, "?")
	pr.Out.URL = &url.URL{
		Scheme:     "http",
		Host:       "s3", // for the transport's pool; the Host header is below
		Opaque:     path, // not decoded and encoded again; admit made sure of one leading slash
		RawQuery:   query,
		ForceQuery: found,
	}
	pr.Out.Host = pr.In.Host
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := pr.In.Header[name]; ok { // may be signed
			pr.Out.Header[name] = values
		}
	}
}

// modifyResponse drops headers that would give the request a second id, or name the
// software behind us.
func modifyResponse(res *http.Response) error {
	for _, name := range []string{"Server", "X-Amz-Request-Id", "X-Amz-Id-2"} {
		res.Header.Del(name)
	}
	return nil
}
