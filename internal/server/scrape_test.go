package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// deaf is a client that does not read.
type deaf struct {
	*httptest.ResponseRecorder
	gone chan struct{}
}

func (d deaf) Write(p []byte) (int, error) {
	<-d.gone
	return d.ResponseRecorder.Write(p)
}

// TestMetricsBesideDeafClients: whoever asks for metrics and does not read them keeps nobody
// else from reading them, and holds little.
func TestMetricsBesideDeafClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := prometheus.NewRegistry()
		gathered := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "diskport_gathered_total"}, counter())
		metrics.MustRegister(gathered)
		s := newScraper(metrics)
		gone := make(chan struct{})
		ask := func(w http.ResponseWriter, encoding string) {
			r := httptest.NewRequest(http.MethodGet, "/-/metrics", nil)
			r.Header.Set("Accept-Encoding", encoding)
			s.ServeHTTP(w, r)
		}
		for range 1000 {
			go ask(deaf{httptest.NewRecorder(), gone}, "")
		}
		synctest.Wait()
		time.Sleep(2 * sharedFor)
		w, zipped := httptest.NewRecorder(), httptest.NewRecorder()
		ask(w, "")
		ask(zipped, "zstd, gzip;q=0.5")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "diskport_gathered_total 5\n") {
			t.Errorf("after a thousand that don't read: %d %s", w.Code, w.Body)
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
			t.Errorf("it is of type %s", w.Header())
		}
		if zipped.Code != http.StatusOK || zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Body.Len() == 0 {
			t.Errorf("compressed: %d %s", zipped.Code, zipped.Header())
		}
		close(gone)
		synctest.Wait()
		for want := range 3 { // now each is new
			w := httptest.NewRecorder()
			if ask(w, ""); !strings.Contains(w.Body.String(), "diskport_gathered_total "+string(rune('7'+want))+"\n") {
				t.Errorf("page %d: %s", want, w.Body)
			}
		}
	})
}

// counter returns a function that counts its calls.
func counter() func() float64 {
	n := 0.0
	return func() float64 { n++; return n }
}
