package flow

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The errors of this package. Match them with errors.Is.
var (
	// ErrSlow: the client was slower than the least rate. Its connection ends with
	// this request.
	ErrSlow = errors.New("flow: the client is too slow")
	// ErrBusy: the budget for the request's memory is used up.
	ErrBusy = errors.New("flow: no memory is left for the request")
	// ErrTooLarge: the body is longer than it may be.
	ErrTooLarge = errors.New("flow: the body is too long")
)

// class is what is known about the sender of a request.
type class int

const (
	stranger class = iota // nothing
	claimed               // it names a key that exists
	proved                // it is signed with that key
	classes
)

var classNames = [classes]string{"unknown", "claimed", "proved"}

// Exchange is one request and its answer. Its body may be read from one goroutine at a
// time and its answer be written from one; the rest belongs to the goroutine that
// serves the request.
//
// A nil *Exchange sets no limits.
type Exchange struct {
	control *Control
	ctl     *http.ResponseController
	request *http.Request
	id      string
	body    *body
	answer  *answer
	conn    *connection // nil if nobody counts them

	mu    sync.Mutex // guards what follows
	ended bool       // the connection is no longer ours

	cut atomic.Bool

	class    class
	holder   string // in its class
	held     int64  // of the class's budget
	reserved int64  // of the answers' budget
}

// Begin takes a request of an http.Server in hand. id is for the log. Writer and
// Request are what its handler gets; the caller calls End when the handler has
// returned.
func (c *Control) Begin(w http.ResponseWriter, r *http.Request, id string) *Exchange {
	x := &Exchange{control: c, ctl: http.NewResponseController(w), id: id}
	x.conn, _ = r.Context().Value(connKey{}).(*connection)
	x.body = &body{src: r.Body, x: x, left: c.limits.Patience, expected: r.Header.Get("Expect") != ""}
	if r.Body == nil || r.Body == http.NoBody {
		x.body.src = http.NoBody
		x.body.ended.Store(true)
	}
	x.answer = &answer{ResponseWriter: w, x: x, left: c.limits.Patience}
	// net/http looks at the body of its own request to see whether the connection can
	// be used again, so a copy gets ours.
	x.request = r.WithContext(r.Context())
	x.request.Body = x.body
	if len(r.TransferEncoding) > 0 {
		// net/http hides whether there was a Content-Length too. Where the two differ,
		// a proxy in front of us may take for the next request what we take for the
		// body of this one, or the other way round. RFC 9112, section 6.1: close.
		w.Header().Set("Connection", "close")
	}
	return x
}

// Writer returns the writer of the answer.
func (x *Exchange) Writer() http.ResponseWriter { return x.answer }

// Request returns the request, with its body under the least rate.
func (x *Exchange) Request() *http.Request { return x.request }

// Slow reports whether the client was cut for being slow.
func (x *Exchange) Slow() bool { return x != nil && x.cut.Load() }

// Claim notes that the request names a key that exists. What is held already counts as
// the key's from then on: if there is no room for that, Claim fails with ErrBusy.
func (x *Exchange) Claim(key string) error { return x.become(claimed, key) }

// become moves what the request holds to the budget of another class.
func (x *Exchange) become(class class, holder string) error {
	held := x.held
	x.control.budgets[x.class].give(x.holder, held)
	x.class, x.holder, x.held = class, holder, 0
	if !x.hold(held) {
		return ErrBusy
	}
	return nil
}

// Prove notes that the request is signed by an account. What is held already counts as
// the account's from then on: if it has no room for that, or there are too many signed
// requests, of all or of the account, Prove fails with ErrBusy.
func (x *Exchange) Prove(account string) error {
	if x.class == proved {
		return nil
	}
	if x.conn != nil && !x.conn.prove(account) {
		return ErrBusy
	}
	return x.become(proved, account)
}

// Reserve makes sure that n bytes of the answers' budget are the request's, for what it
// is about to hold until its answer has been read. It fails with ErrBusy. What it is
// told is the most at one time, so calls do not add up.
func (x *Exchange) Reserve(n int64) error {
	if x == nil {
		return nil
	}
	return x.reserve(n, x.wait())
}

// Charge is Reserve for what the request holds already. It fails at once, since to
// wait would be to go on holding it.
func (x *Exchange) Charge(n int64) error {
	if x == nil {
		return nil
	}
	return x.reserve(n, 0)
}

func (x *Exchange) reserve(n int64, wait time.Duration) error {
	if n <= x.reserved {
		return nil
	}
	if !x.control.answers.take(x.request.Context(), x.holder, n-x.reserved, wait) {
		return ErrBusy
	}
	x.reserved = n
	return nil
}

// hold takes n bytes more of the budget of the class.
func (x *Exchange) hold(n int64) bool {
	if n > 0 && !x.control.budgets[x.class].take(x.request.Context(), x.holder, n, x.wait()) {
		return false
	}
	x.held += n
	return true
}

// patienceForMemory is how long a request that is proved waits for memory. It evens
// out bursts of clients that are fast; there is no use in waiting for slow ones.
const patienceForMemory = 2 * time.Second

func (x *Exchange) wait() time.Duration {
	if x.class == proved {
		return patienceForMemory
	}
	return 0
}

// End ends the exchange: it gives back what the request held and, if the rest of the
// body is not wanted, makes sure that the client sees the answer all the same. The
// handler must have returned.
func (x *Exchange) End() {
	x.release()
	x.linger()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
	// What net/http has still to write is a few KiB.
	_ = x.ctl.SetWriteDeadline(x.control.now().Add(x.control.limits.Patience))
}

// Abort is End for a connection that net/http will break.
func (x *Exchange) Abort() {
	x.release()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
}

func (x *Exchange) release() {
	x.control.budgets[x.class].give(x.holder, x.held)
	x.control.answers.give(x.holder, x.reserved)
	x.held, x.reserved = 0, 0
}

// maxDocument is the largest body, in bytes, of any request but an upload to S3. Who
// uploads more, and has proved who it is, gets longer to do so in vain.
const maxDocument = 2 << 20

// linger reads the rest of a body that the handler did not want, for a while. Most clients send all
// of a body before they look at the answer; if the connection were closed meanwhile,
// they would see that, and no answer.
func (x *Exchange) linger() {
	if !x.answer.closes || x.body.ended.Load() {
		return
	}
	if x.body.broken.Load() || x.body.expected && !x.body.begun.Load() {
		x.readDeadline(x.control.now()) // net/http need not try
		return
	}
	if x.answer.Header().Get("Content-Length") == "" {
		// The client would not see where the answer ends before we return, so leave it
		// to net/http, which reads up to 256 KiB.
		x.readDeadline(x.control.now().Add(x.control.limits.Linger))
		return
	}
	_ = x.answer.FlushError()
	wait := x.control.limits.Linger
	if length := x.request.ContentLength; x.class == proved && (length < 0 || length > maxDocument) {
		wait = x.control.limits.Patience
	}
	x.readDeadline(x.control.now().Add(wait))
	_, _ = io.Copy(io.Discard, x.body.src) // time is the limit: to throw bytes away costs little
	x.readDeadline(x.control.now())
}

// readDeadline sets the connection's deadline, unless the exchange has ended: then it
// is another request's.
func (x *Exchange) readDeadline(at time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		_ = x.ctl.SetReadDeadline(at) // fails only in tests without a connection
	}
	return !x.ended
}

func (x *Exchange) writeDeadline(at time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		_ = x.ctl.SetWriteDeadline(at)
	}
	return !x.ended
}

// judge returns ErrSlow instead of err if a deadline of ours has passed.
func (x *Exchange) judge(err error, why cause) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if !x.cut.Swap(true) {
		x.control.report.tell(why, x.request.RemoteAddr, x.id)
	}
	return ErrSlow
}
