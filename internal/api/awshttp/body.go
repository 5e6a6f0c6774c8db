package awshttp

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// Body caps in bytes. S3 is not here: its bodies are streamed.
const (
	maxForm  = 1 << 20         // any form or JSON document
	maxBlock = 512<<10 + 4<<10 // EBS direct: one block, or a document far below that
)

func bodyCap(service string) int64 {
	if service == EBS {
		return maxBlock
	}
	return maxForm
}

// readBody takes the whole body of r into memory, up to limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, unread
	}
	r.Body = http.NoBody
	return body, nil
}

// readForm joins the query string and, of a form, the body.
func readForm(r *http.Request, body []byte) (url.Values, error) {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badForm
	}
	if !isForm(r) {
		return form, nil
	}
	posted, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, badForm
	}
	for name, values := range posted {
		form[name] = append(form[name], values...)
	}
	return form, nil
}

func isForm(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && kind == "application/x-www-form-urlencoded"
}
