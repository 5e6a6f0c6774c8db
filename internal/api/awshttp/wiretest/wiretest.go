// Package wiretest records the exchanges between a real client and an edge, for
// golden files. A Recorder is the client's HTTP client; it masks what differs each
// time.
package wiretest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/diskport/diskport/internal/awsid"
)

// Regions returns the regions of a service whose own region is own: all that AWS has in
// its partition, or those in only.
func Regions(own string, only ...string) awsid.Regions {
	r, err := awsid.NewRegions(own, only)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return r
}

// Mask replaces what differs each time.
type Mask struct {
	Pattern *regexp.Regexp
	With    string
}

// Recorder sends requests on and keeps the last exchange. It is for one goroutine.
type Recorder struct {
	Headers []string // that belong to the protocol
	Masks   []Mask
	Update  bool // write the golden files anew

	exchange bytes.Buffer
}

// Do implements the HTTP client of the SDK.
func (r *Recorder) Do(req *http.Request) (*http.Response, error) {
	r.exchange.Reset()
	body, err := drain(&req.Body)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&r.exchange, "-- request --\n%s %s\n", req.Method, req.URL.RequestURI())
	r.note(req.Header)
	if strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if body, err = lines(body); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(&r.exchange, "%s\n", body)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if body, err = drain(&resp.Body); err != nil {
		return nil, err
	}
	fmt.Fprintf(&r.exchange, "-- response --\n%d\n", resp.StatusCode)
	r.note(resp.Header)
	fmt.Fprintf(&r.exchange, "%s\n", elements.ReplaceAll(body, []byte(">\n<$1")))
	return resp, nil
}

// elements parts XML into lines.
var elements = regexp.MustCompile(`><([^/])`)

// drain reads a body and puts it back.
func drain(body *io.ReadCloser) ([]byte, error) {
	if *body == nil {
		return nil, nil
	}
	all, err := io.ReadAll(*body)
	if err := errors.Join(err, (*body).Close()); err != nil {
		return nil, err
	}
	*body = io.NopCloser(bytes.NewReader(all))
	return all, nil
}

// lines returns a form with one parameter on a line, as sent.
func lines(form []byte) ([]byte, error) {
	if _, err := url.ParseQuery(string(form)); err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(form, []byte("&"), []byte("\n")), nil
}

func (r *Recorder) note(h http.Header) {
	for _, name := range r.Headers {
		if value := h.Get(name); value != "" {
			fmt.Fprintf(&r.exchange, "%s: %s\n", name, value)
		}
	}
}

// Check compares the last exchange, and what the client made of it, with a file of
// testdata. An error of the service is fine; any other ends the test.
func (r *Recorder) Check(t *testing.T, name string, out any, err error) {
	t.Helper()
	client := Plain(t, out)
	if told, ok := errors.AsType[smithy.APIError](err); ok {
		client = fmt.Sprintf("%T %s: %s", told, told.ErrorCode(), told.ErrorMessage())
	} else if err != nil {
		t.Fatal(err)
	}
	got := r.exchange.String() + "-- client --\n" + client + "\n"
	for _, m := range r.Masks {
		got = m.Pattern.ReplaceAllString(got, m.With)
	}
	if r.Update {
		WriteGolden(t, name, got)
	}
	Golden(t, name, got)
}

// WriteGolden writes the file of testdata that Golden compares with.
func WriteGolden(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(goldenPath(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func goldenPath(name string) string { return filepath.Join("testdata", name+".txt") }

// Golden compares an exchange with a file of testdata.
func Golden(t *testing.T, name, got string) {
	t.Helper()
	want, err := os.ReadFile(goldenPath(name))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// Plain returns what a client returned as JSON, without unset fields.
func Plain(t *testing.T, out any) string {
	t.Helper()
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	text, err = json.MarshalIndent(prune(v), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "ResultMetadata")
		for name, value := range v {
			if v[name] = prune(value); value == nil || value == "" {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}
