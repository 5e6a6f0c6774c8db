package span

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// Transport records requests to another service, from their first byte to the last of the
// answer's body.
type Transport struct {
	Base    http.RoundTripper
	Service string // which begins the names of spans
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !Recorded(r.Context()) {
		return t.Base.RoundTrip(r)
	}
	ctx, s := Start(r.Context(), t.Service+" "+r.Method)
	s.Text(Method, r.Method)
	s.Text(Host, r.URL.Host)
	s.Text(Path, r.URL.Path)
	s.Text("http.request.header.range", r.Header.Get("Range"))
	resp, err := t.Base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		s.End(err)
		return nil, err
	}
	s.Number(Status, int64(resp.StatusCode))
	if resp.StatusCode >= http.StatusBadRequest {
		s.Fail(resp.Status)
	}
	resp.Body = &body{ReadCloser: resp.Body, span: s}
	return resp, nil
}

// body ends a span with the body of an answer.
type body struct {
	io.ReadCloser
	span Span
	once sync.Once
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		if errors.Is(err, io.EOF) {
			b.end(nil)
		} else {
			b.end(err)
		}
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.end(nil)
	return b.ReadCloser.Close()
}

func (b *body) end(err error) { b.once.Do(func() { b.span.End(err) }) }
