// Package audit keeps the record of who changed what: a line of JSON for every call that
// is not mere reading, in the shape of AWS CloudTrail's records, so that tools for those
// read it. The front chain of the API makes the records (awshttp); this package has their
// shape and what they go to: a File, a line each, or a bucket of an S3, as objects that are
// named and made as CloudTrail's. Those wait in a Spool, files in a folder, until the S3 has
// taken them:
//
//	TIME-ID.open    a line that says whose records of nobody are, and a line for each record;
//	                TIME is when it was begun, in microseconds
//	TIME-ID.jsonl   likewise, complete: nothing is added any more
//
// The objects of a file are named after it, so that one that is delivered again, because the
// process died, replaces itself. The file is removed once the S3 has all of them.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/space"
)

// Record is one call. The names are CloudTrail's, version 1.11.
type Record struct {
	EventVersion       string          `json:"eventVersion"`
	UserIdentity       Identity        `json:"userIdentity"`
	EventTime          string          `json:"eventTime"` // RFC 3339, UTC
	EventSource        string          `json:"eventSource"`
	EventName          string          `json:"eventName"`
	AWSRegion          string          `json:"awsRegion"`
	SourceIPAddress    string          `json:"sourceIPAddress"`
	UserAgent          string          `json:"userAgent"`
	ErrorCode          string          `json:"errorCode,omitempty"`
	RequestParameters  json.RawMessage `json:"requestParameters"` // null: none, or too many
	ResponseElements   json.RawMessage `json:"responseElements"`  // null always
	RequestID          string          `json:"requestID"`
	EventID            string          `json:"eventID"`
	ReadOnly           bool            `json:"readOnly"`
	EventType          string          `json:"eventType"`
	ManagementEvent    bool            `json:"managementEvent"`
	RecipientAccountID string          `json:"recipientAccountId"`
	EventCategory      string          `json:"eventCategory"`
}

// Identity is who called.
type Identity struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId,omitempty"`
	ARN         string `json:"arn,omitempty"`
	AccountID   string `json:"accountId,omitempty"`
	AccessKeyID string `json:"accessKeyId,omitempty"`
	UserName    string `json:"userName,omitempty"`
}

// Log writes records. It may be used concurrently.
type Log struct {
	o       Options
	sinks   []sink
	records *prometheus.CounterVec // by where and end

	mu     sync.Mutex // guards what follows, and is held while a record is written
	broken []bool     // of each sink: it could not take the last record
}

// sink is what records go to. Its methods are not called concurrently.
type sink interface {
	name() string    // in metrics
	elsewhere() bool // it is not on the disk of Options.Disk
	// append takes a record, a line without its end.
	append(line []byte) error
	// Close closes it. What it has stays.
	Close() error
}

// Options are how a Log tells what it does.
type Options struct {
	// Failed is told when a record can't be written, once until one can again: calls are
	// served all the same.
	Failed  func(error)
	Disk    Disk                  // nil: nothing is known of it
	Metrics prometheus.Registerer // nil: nothing is counted
}

// Disk is the disk of the service, on which records may not take what deletions need.
type Disk interface {
	// May reports whether a record may take what is free.
	May(Record) bool
	// LetGo makes room for a record that found the disk full; it returns false if it can't.
	LetGo(Record) bool
}

// NewLog returns a log that writes to all of the sinks, Files and Spools, and closes them. To
// none it writes nothing.
func NewLog(o Options, sinks ...sink) *Log {
	l := &Log{o: o, sinks: sinks, broken: make([]bool, len(sinks))}
	l.records = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "diskport_audit_records_total", Help: "Records of the audit log, by where they go (file, spool) and whether they were written or lost.",
	}, []string{"to", "end"})
	for _, to := range []string{(*File)(nil).name(), (*Spool)(nil).name()} {
		l.records.WithLabelValues(to, "written")
		l.records.WithLabelValues(to, "lost")
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(l.records)
	}
	return l
}

// Kept reports whether records go anywhere.
func (l *Log) Kept() bool { return l != nil && len(l.sinks) > 0 }

// Write writes a record.
func (l *Log) Write(r Record) {
	line, err := json.Marshal(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, to := range l.sinks {
		failed := err
		if failed == nil {
			failed = l.append(to, r, line)
		}
		end := "written"
		if failed != nil {
			end = "lost"
		}
		l.records.WithLabelValues(to.name(), end).Inc()
		if failed != nil && !l.broken[i] {
			l.o.Failed(failed)
		}
		l.broken[i] = failed != nil
	}
}

// append has a sink take a record, if the disk has room for it.
func (l *Log) append(to sink, r Record, line []byte) error {
	if l.o.Disk == nil || to.elsewhere() {
		return to.append(line)
	}
	if !l.o.Disk.May(r) {
		return fmt.Errorf("audit: what is left is for deletions: %w", space.ErrFull)
	}
	err := to.append(line)
	for space.IsFull(err) && l.o.Disk.LetGo(r) {
		err = to.append(line)
	}
	return err
}

// Close closes what records go to.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, to := range l.sinks {
		errs = append(errs, to.Close())
	}
	return errors.Join(errs...)
}
