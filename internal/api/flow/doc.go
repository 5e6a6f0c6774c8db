// Package flow bounds what clients can hold of the service by being slow: memory,
// goroutines and connections. It stands in front of every edge.
//
//	listener ─► connections, their number    connections.go
//	request  ─► exchange                     exchange.go
//	              body: least rate           body.go, pace.go
//	              body in memory: budget     memory.go, budget.go
//	              answer: least rate         answer.go
//
// A client that sends a body, or reads an answer, more slowly than the least rate is
// cut. Waiting for the client is all that counts: what the service itself takes long
// for does not. An answer that pauses by itself, such as a stream of events, may pause
// for as long as it likes.
//
// The memory of bodies grows with the bytes that have come, not with what was
// announced, and comes out of one of three budgets, by how much is known about the
// sender: nothing, that the request names a key, or that it is signed with that key.
// So strangers can't take what is there for others. Answers that are held in memory
// while they are being read have a budget too. Where a budget is used up, requests are
// refused at once, or after a moment if they are signed.
//
// The package relies on net/http for the header: its size, the time it takes, and how
// long a connection may be idle are fields of http.Server.
package flow

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits are the bounds. The zero value of a field means its default.
type Limits struct {
	LeastRate int64         // bytes a second of a body or an answer; 8 KiB
	Patience  time.Duration // how long a client that was fast enough may pause; 20 s
	Linger    time.Duration // how long the rest of a body that nobody wants is read; 2 s

	StrangerBytes int64 // of bodies in memory without a known key; 8 MiB
	ClaimedBytes  int64 // of bodies that name a known key, and may not be signed with it; 32 MiB
	ProvedBytes   int64 // of bodies of requests that are signed; 128 MiB
	AnswerBytes   int64 // of answers in memory; 128 MiB
}

// withDefaults fills in defaults.
func (l Limits) withDefaults() Limits {
	bytes := func(n *int64, v int64) {
		if *n == 0 {
			*n = v
		}
	}
	span := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	bytes(&l.LeastRate, 8<<10) // half of what a voice modem sends
	span(&l.Patience, 20*time.Second)
	span(&l.Linger, 2*time.Second)
	bytes(&l.StrangerBytes, 8<<20)
	bytes(&l.ClaimedBytes, 32<<20)
	bytes(&l.ProvedBytes, 128<<20)
	bytes(&l.AnswerBytes, 128<<20)
	return l
}

// Options are the parts and settings of a Control.
type Options struct {
	Limits  Limits
	Log     *slog.Logger          // required
	Metrics prometheus.Registerer // nil: none
	// Operator is the account for whose requests there are always connections; empty: none.
	Operator string
	// Now is what the deadlines of connections are reckoned by, so it must be the time
	// of the machine; nil means time.Now.
	Now func() time.Time
}

// Control keeps the budgets and makes an Exchange of each request. It is safe for
// concurrent use.
type Control struct {
	limits  Limits
	pace    pace
	budgets [classes]*budget // of bodies
	answers *budget
	report  *report
	metrics prometheus.Registerer
	now     func() time.Time

	operator string // account
}

// New returns a Control with empty budgets, and registers its metrics.
func New(o Options) *Control {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := o.Limits.withDefaults()
	c := &Control{
		limits: l, pace: pace{l.LeastRate, l.Patience}, now: o.Now, metrics: o.Metrics, operator: o.Operator,
		budgets: [classes]*budget{
			// Nobody knows strangers apart. A key that is only named may be named by
			// others, so it gets a small part of what there is for all keys; an account
			// that has proved itself leaves something to others.
			stranger: newBudget(l.StrangerBytes, l.StrangerBytes),
			claimed:  newBudget(l.ClaimedBytes, l.ClaimedBytes/4),
			proved:   newBudget(l.ProvedBytes, l.ProvedBytes/4*3),
		},
		answers: newBudget(l.AnswerBytes, l.AnswerBytes/4*3),
		report:  newReport(o.Log, o.Now),
	}
	if o.Metrics != nil {
		c.register(o.Metrics)
	}
	return c
}
