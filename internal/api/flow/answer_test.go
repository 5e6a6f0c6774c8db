package flow

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sender is a connection that sends files by itself. It takes so long for each byte,
// and notes how much it was given at once.
type sender struct {
	*httptest.ResponseRecorder
	perByte  time.Duration
	deadline time.Time
	pieces   []int64
}

func (s *sender) SetWriteDeadline(t time.Time) error { s.deadline = t; return nil }

func (s *sender) SetReadDeadline(time.Time) error { return nil }

// ReadFrom implements io.ReaderFrom.
func (s *sender) ReadFrom(src io.Reader) (n int64, err error) {
	part := src.(*io.LimitedReader)
	s.pieces = append(s.pieces, part.N)
	if s.perByte > 0 {
		if may := int64(time.Until(s.deadline) / s.perByte); may < part.N {
			part.N, err = max(may, 0), fmt.Errorf("sending: %w", os.ErrDeadlineExceeded)
		}
		time.Sleep(time.Duration(part.N) * s.perByte)
	}
	n, copied := io.Copy(s.ResponseRecorder, part)
	if copied != nil {
		err = copied
	}
	return n, err
}

func TestFilesAreSent(t *testing.T) {
	const size = 8 << 20
	for _, c := range []struct {
		name    string
		perByte time.Duration
		sent    bool
		most    int64 // bytes at once
	}{
		{"to a fast client", 0, true, mostSent},
		{"to a fair one", time.Second / (50 << 10), true, maxPiece},
		{"to one at the least rate", time.Second / (9 << 10), true, maxPiece},
		{"to a slow one", time.Second / (4 << 10), false, maxPiece},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				control := New(Options{Log: slog.New(slog.DiscardHandler)})
				s := &sender{ResponseRecorder: httptest.NewRecorder(), perByte: c.perByte}
				x := control.Begin(s, httptest.NewRequest("GET", "/", nil), "id")
				text := strings.Repeat("0123456789abcdef", size/16)
				n, err := io.Copy(x.Writer(), io.LimitReader(strings.NewReader(text+"more"), size))
				if (err == nil) != c.sent || c.sent && (n != size || s.Body.String() != text) || x.Slow() == c.sent {
					t.Errorf("%d bytes, %v, slow %t", n, err, x.Slow())
				}
				largest := int64(0)
				for _, p := range s.pieces {
					largest = max(largest, p)
				}
				if largest != c.most {
					t.Errorf("at most %d bytes at once, want %d", largest, c.most)
				}
			})
		})
	}
}

// TestAFileThatEnds before it should is no reason to go on.
func TestAFileThatEnds(t *testing.T) {
	s := &sender{ResponseRecorder: httptest.NewRecorder()}
	x := New(Options{Log: slog.New(slog.DiscardHandler)}).Begin(s, httptest.NewRequest(http.MethodGet, "/", nil), "id")
	if n, err := io.Copy(x.Writer(), io.LimitReader(strings.NewReader("short"), 100)); n != 5 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := io.Copy(x.Writer(), strings.NewReader("of any length")); n != 13 || err != nil || s.Body.String() != "shortof any length" {
		t.Errorf("%d bytes, %v: %s", n, err, s.Body)
	}
}
