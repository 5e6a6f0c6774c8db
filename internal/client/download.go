package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Download is a file that is fetched over http or https, as the user's own program does it:
// the service never dials what a request names.
type Download struct {
	URL  string
	HTTP *http.Client // nil: http.DefaultClient's transport, without a time limit
	// Progress is called with the bytes that have come, of total; 0 while that is unknown.
	Progress func(done, total int64)

	at    int64  // up to where bytes have come
	total int64  // -1: not known
	tag   string // what shows that the file is the same one
	again *retry.Standard
}

// RefusedError reports an answer that is not the file.
type RefusedError struct {
	Host   string
	Status int // of HTTP
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s answers %d %s", e.Host, e.Status, http.StatusText(e.Status))
}

// To fetches the file into w, from its beginning. What was interrupted goes on where it was,
// if the server can do that and the file is still the same; else it begins anew. It returns
// how many bytes the file has.
func (d *Download) To(ctx context.Context, w io.WriterAt) (size int64, err error) {
	if d.HTTP == nil {
		d.HTTP = &http.Client{CheckRedirect: noDowngrade}
	}
	d.again, d.total = retry.NewStandard(), -1
	for attempt := 1; ; attempt++ {
		before := d.at
		err := d.once(ctx, w)
		switch {
		case err == nil:
			return d.at, nil
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case d.at > before:
			attempt = 1
		}
		if attempt >= d.again.MaxAttempts() || !mayPass(err) {
			return 0, fmt.Errorf("downloading %s: %w", d.shown(), d.explain(err))
		}
		pause, _ := d.again.RetryDelay(attempt, err) // never fails, see query
		if err := sleep(ctx, pause); err != nil {
			return 0, err
		}
	}
}

// noDowngrade follows redirects, but not away from https.
func noDowngrade(r *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
		return fmt.Errorf("it redirects from https to %s", r.URL.Scheme)
	}
	return nil
}

// mayPass reports whether another attempt may succeed.
func mayPass(err error) bool {
	var refused *RefusedError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted), errors.Is(err, errLocal):
		return false
	case errors.As(err, &refused):
		return refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests
	}
	return true
}

// errLocal reports a failure of this machine.
var errLocal = errors.New("writing what was downloaded")

// explain says what to do about a certificate, and leaves out the Url, which may be secret.
func (d *Download) explain(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("the certificate of its server is not trusted: %w\n"+
			"If it should be, name a file with the certificate of who signed it: SSL_CERT_FILE=authority.pem", untrusted.Err)
	}
	return err
}

// shown is the Url without what may be secret.
func (d *Download) shown() string {
	u, err := url.Parse(d.URL)
	if err != nil {
		return "the image"
	}
	u.RawQuery, u.User = "", nil
	return u.String()
}

// once makes one attempt.
func (d *Download) once(ctx context.Context, w io.WriterAt) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity") // sizes and offsets are the file's own
	if d.at > 0 && d.tag != "" {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.at))
		req.Header.Set("If-Range", d.tag)
	}
	resp, err := d.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		d.at, d.total, d.tag = 0, resp.ContentLength, sameFile(resp.Header)
	case http.StatusPartialContent:
		if from, total, ok := contentRange(resp.Header.Get("Content-Range")); !ok || from != d.at || d.total >= 0 && total >= 0 && total != d.total {
			d.at, d.tag = 0, "" // it is not what was asked for: begin anew
			return fmt.Errorf("the server answers with another range: %q", resp.Header.Get("Content-Range"))
		}
	default:
		return &RefusedError{req.URL.Host, resp.StatusCode}
	}
	return d.copy(resp.Body, w)
}

// copy writes what comes.
func (d *Download) copy(body io.Reader, w io.WriterAt) error {
	buf := make([]byte, 1<<20)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := w.WriteAt(buf[:n], d.at); err != nil {
				return fmt.Errorf("%w: %w", errLocal, err)
			}
			d.at += int64(n)
			if d.Progress != nil {
				d.Progress(d.at, max(d.total, 0))
			}
		}
		switch {
		case errors.Is(err, io.EOF) && (d.total < 0 || d.at == d.total):
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%d bytes came of %d", d.at, d.total)
		case err != nil:
			return err
		}
	}
}

// sameFile returns what an answer says that shows whether the file is the same later: a
// strong ETag, or else the time of its last change; "" if there is neither.
func sameFile(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	date, derr := http.ParseTime(h.Get("Date"))
	if err != nil || derr != nil || date.Sub(modified) < time.Second { // it may change once more within the second
		return ""
	}
	return h.Get("Last-Modified")
}

// contentRange reads "bytes 5-9/10"; total is -1 where it says "*".
func contentRange(s string) (from, total int64, ok bool) {
	rest, isBytes := strings.CutPrefix(s, "bytes ")
	span, of, both := strings.Cut(rest, "/")
	first, _, dash := strings.Cut(span, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	total = -1
	if of != "*" {
		var terr error
		total, terr = strconv.ParseInt(of, 10, 64)
		err = errors.Join(err, terr)
	}
	return from, total, isBytes && both && dash && err == nil
}
