package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Front is the one address of all nodes: a reverse proxy, of which there are better ones for
// other purposes. It passes a request on to the next node that is ready, with the Host that
// the client signed.
type Front struct {
	server   *http.Server
	listener net.Listener
	proxy    *httputil.ReverseProxy
	turn     atomic.Uint64
	stop     context.CancelFunc
	ended    sync.WaitGroup

	mu    sync.Mutex // guards ready
	nodes func() []string
	ready []string // endpoints
}

// newFront returns a front at an address, for the nodes whose endpoints a function returns.
// What it can't pass on it complains of to said, if that is not nil.
func newFront(address string, nodes func() []string, said io.Writer) (*Front, error) {
	f := &Front{nodes: nodes}
	if said == nil {
		said = io.Discard
	}
	var err error
	if f.listener, err = net.Listen("tcp", address); err != nil {
		return nil, err
	}
	f.proxy = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host },
		Transport:     &trying{front: f, to: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}},
		FlushInterval: -1, // event streams
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			_, _ = fmt.Fprintf(said, "%s %s %s to %s: %v\n", time.Now().Format("15:04:05.000"), r.Method, r.URL.Path, r.URL.Host, err)
			http.Error(w, "no node answers: "+err.Error(), http.StatusServiceUnavailable)
		},
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.look(ctx)
	f.ended.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
				f.look(ctx)
			}
		}
	})
	f.server = &http.Server{Handler: f.proxy, ReadHeaderTimeout: time.Minute}
	f.ended.Go(func() { _ = f.server.Serve(f.listener) })
	return f, nil
}

// Endpoint is the URL of the front.
func (f *Front) Endpoint() string { return "http://" + f.listener.Addr().String() }

func (f *Front) close() error {
	f.stop()
	err := f.server.Close()
	f.ended.Wait()
	return err
}

// look finds out which nodes are ready.
func (f *Front) look(ctx context.Context) {
	var list []string
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, endpoint := range f.nodes() {
		asked.Go(func() {
			if ready(ctx, endpoint) {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, endpoint)
			}
		})
	}
	asked.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = list
}

// trying sends a request to one node after another until one takes it.
type trying struct {
	front *Front
	to    http.RoundTripper
}

var errNoNode = errors.New("cluster: no node is ready")

// RoundTrip implements http.RoundTripper. Only a request of which nothing was sent is sent to
// another node.
func (t *trying) RoundTrip(r *http.Request) (*http.Response, error) {
	t.front.mu.Lock()
	list := t.front.ready
	t.front.mu.Unlock()
	first := int(t.front.turn.Add(1) % (1 << 30))
	err := errNoNode
	if r.Body != nil {
		// A try that fails closes the body, of which the next one needs all. The server closes it in the end.
		r.Body = io.NopCloser(r.Body)
	}
	for i := range list {
		at, perr := url.Parse(list[(first+i)%len(list)])
		if perr != nil {
			return nil, perr
		}
		r.URL.Scheme, r.URL.Host = at.Scheme, at.Host
		var answer *http.Response
		if answer, err = t.to.RoundTrip(r); err == nil {
			return answer, nil
		}
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
			return nil, err
		}
	}
	return nil, err
}
