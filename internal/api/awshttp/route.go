package awshttp

import (
	"io"
	"net/http"
	"strings"
)

// page labels requests for our own pages in log and metrics.
const page = "page"

const apiPath = "/-/v1/"

const aboutText = `This is Diskport, an ImportSnapshot service. It speaks the AWS APIs of EC2, EBS
direct, S3, IAM, STS and KMS at this address: point AWS_ENDPOINT_URL to it, or run
"diskport env".
`

// pages routes the requests below /-/ that need no signature.
func pages(o Options) http.Handler {
	mux := http.NewServeMux()
	for path, h := range map[string]http.Handler{
		"GET /-/live": o.Live, "GET /-/ready": o.Ready, "GET /-/health": o.Health, "GET /-/metrics": o.Scrape, "/-/console/": o.Console,
	} {
		if h != nil {
			mux.Handle(path, h)
		}
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if o.Console != nil {
			http.Redirect(w, r, "/-/console/", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, aboutText)
	})
	return mux
}

// own reports whether r is for one of our own pages. "-" can't be a bucket.
func (f *Front) own(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/-/") {
		return !strings.HasPrefix(r.URL.Path, apiPath)
	}
	return isBrowser(r)
}

// isBrowser recognises a browser that was given our address: clients of S3 don't
// ask for HTML, and a request to list buckets is signed.
func isBrowser(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Path == "/" && r.URL.RawQuery == "" &&
		r.Header.Get("Authorization") == "" && strings.Contains(r.Header.Get("Accept"), "text/html")
}
