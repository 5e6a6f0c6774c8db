package awshttp

import (
	"mime"
	"net/http"
	"net/url"
)

// Body caps in bytes. S3 is not here: its bodies are streamed.
const (
	maxForm     = 1 << 20         // any form or JSON document
	maxBlock    = 512<<10 + 4<<10 // EBS direct: one block, or a document far below that
	maxUnscoped = 64 << 10        // a form that may be signed with version 2, or not at all
)

func bodyCap(service string) int64 {
	if service == EBS {
		return maxBlock
	}
	return maxForm
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
