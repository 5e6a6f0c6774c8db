// Package audit keeps the record of who changed what: a line of JSON for every call that
// is not mere reading, in the shape of AWS CloudTrail's records, so that tools for those
// read it. The front chain of the API makes the records (awshttp); this package has their
// shape and the file that they go to.
package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
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

// Log appends records to a file. It may be used concurrently.
type Log struct {
	path   string
	failed func(error)
	now    func() time.Time

	mu      sync.Mutex // guards what follows
	file    *os.File
	checked time.Time // when it was last seen to be the one of that name
	broken  bool      // the last record could not be written
	torn    bool      // part of a line was written, on a full disk
}

// Open opens the file for appending, which it makes if necessary, for its owner alone.
// failed is told when a record can't be written, once until one can again: calls are
// served all the same.
func Open(path string, failed func(error)) (*Log, error) {
	l := &Log{path: path, failed: failed, now: time.Now}
	if err := l.reopen(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Log) reopen() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit: opening the audit log: %w", err)
	}
	if l.file != nil {
		_ = l.file.Close() // it was moved away; what it has is written
	}
	l.file, l.checked = f, l.now()
	return nil
}

// checkEvery is how soon a file that was moved away is noticed, so that logs can be
// rotated without a signal.
const checkEvery = time.Second

// Write appends a record as one line.
func (l *Log) Write(r Record) {
	line, err := json.Marshal(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		err = l.follow()
	}
	if err == nil {
		line = append(line, '\n')
		if l.torn {
			line = append([]byte{'\n'}, line...) // so that it spoils no other record
		}
		var n int
		n, err = l.file.Write(line)
		l.torn = err != nil && (n > 0 || l.torn)
	}
	if err != nil && !l.broken {
		l.failed(err)
	}
	l.broken = err != nil
}

// follow opens a new file when the one that is open no longer has the name.
func (l *Log) follow() error {
	if l.now().Sub(l.checked) < checkEvery && !l.broken {
		return nil
	}
	named, err := os.Stat(l.path)
	if err == nil {
		open, err := l.file.Stat()
		if err == nil && os.SameFile(named, open) {
			l.checked = l.now()
			return nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return l.reopen()
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
