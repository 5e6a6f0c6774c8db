package server

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapes is how many readers of metrics have a page of their own.
	scrapes = 4
	// sharedFor is how old a page may be that the others share.
	sharedFor = time.Second
	// scrapeWait is how long a reader waits until a page can be made.
	scrapeWait = 10 * time.Second
)

// scraper answers requests for metrics. Anybody may send them, and read the answer as slowly
// as the service bears: so a page is in memory before the first byte of it is sent, and where
// there are more than a few readers, they share one. Whoever does not read keeps nobody else
// from doing so, and holds a page for each second at most that it may take.
type scraper struct {
	pages  http.Handler  // makes them
	making chan struct{} // held while a page is made, and for what follows

	mu      sync.Mutex
	reading int
	last    map[bool]page // by whether it is compressed
}

// page is an answer.
type page struct {
	header http.Header
	code   int
	body   []byte
	at     time.Time
}

func newScraper(metrics prometheus.Gatherer) *scraper {
	return &scraper{
		pages:  promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
		making: make(chan struct{}, 1),
		last:   map[bool]page{},
	}
}

// ServeHTTP implements http.Handler.
func (s *scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, ok := s.page(r)
	if !ok {
		http.Error(w, "metrics can't be gathered at the moment", http.StatusServiceUnavailable)
		return
	}
	defer s.read()
	maps.Copy(w.Header(), p.header)
	w.WriteHeader(p.code)
	_, _ = w.Write(p.body) // the client's loss
}

// page returns a page for a request, whose end read is to be told.
func (s *scraper) page(r *http.Request) (page, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), scrapeWait)
	defer cancel()
	select {
	case s.making <- struct{}{}:
	case <-ctx.Done():
		return page{}, false
	}
	defer func() { <-s.making }()
	zipped := strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
	s.mu.Lock()
	s.reading++
	p, ok := s.last[zipped]
	shared := ok && s.reading > scrapes && time.Since(p.at) < sharedFor
	s.mu.Unlock()
	if shared {
		return p, true
	}
	p = s.made(ctx, zipped)
	s.mu.Lock()
	s.last[zipped] = p
	s.mu.Unlock()
	return p, true
}

// read is told that a page was read, or is not read any more.
func (s *scraper) read() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading--
}

// made makes a page. Of what a client accepts only compression counts, lest there are as many
// kinds of pages as there are headers.
func (s *scraper) made(ctx context.Context, zipped bool) page {
	r := (&http.Request{Method: http.MethodGet, Header: http.Header{}}).WithContext(ctx)
	if zipped {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	w := &pageWriter{page: page{header: http.Header{}, code: http.StatusOK, at: time.Now()}}
	s.pages.ServeHTTP(w, r)
	w.page.body = w.buf.Bytes()
	return w.page
}

// pageWriter is a ResponseWriter into memory.
type pageWriter struct {
	page page
	buf  bytes.Buffer
}

func (w *pageWriter) Header() http.Header { return w.page.header }

func (w *pageWriter) WriteHeader(code int) { w.page.code = code }

func (w *pageWriter) Write(p []byte) (int, error) { return w.buf.Write(p) }
