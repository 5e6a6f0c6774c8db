package verify

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// Objects is the embedded S3, whose files a run reads too. objects.Service implements it.
type Objects interface {
	// ObjectBytes returns how many bytes the files have.
	ObjectBytes(ctx context.Context) (int64, error)
	// VerifyObjects reads the files with numbers above after, ascending. It goes on behind
	// damage, and ends with an error of w.
	VerifyObjects(ctx context.Context, after int64, w ObjectWatch) error
}

// ObjectWatch hears what VerifyObjects does, from one goroutine. No function is nil.
type ObjectWatch struct {
	Read  func(n int64) error        // n more bytes
	Done  func(number int64) error   // a file was dealt with
	Found func(d ObjectDamage) error // one for each object that is damaged
	Note  func(text string)          // what can't be checked; it may come more than once
}

// ObjectDamage is an object that is not as it was written.
type ObjectDamage struct {
	Object string // its address, and where in it the file begins; for people
	File   string // name of the file, below objects/
	Offset int64  // of the damage, in the file, in bytes; -1: unknown
	Err    error
}

// objects checks the files of the embedded S3, behind a number.
func (r *run) objects(ctx context.Context, after string, reached func(string) error) error {
	if r.Objects == nil {
		return nil
	}
	var number int64
	if after != "" {
		var err error
		if number, err = strconv.ParseInt(after, 10, 64); err != nil {
			return fmt.Errorf("verify: going on behind the object file %q: %w", after, err)
		}
	}
	return r.Objects.VerifyObjects(ctx, number, ObjectWatch{
		Read: func(n int64) error { return r.did(ctx, n) },
		Done: func(number int64) error {
			r.summary.Files++
			return reached(strconv.FormatInt(number, 10))
		},
		Found: func(d ObjectDamage) error {
			f := about(Object, d.Err.Error())
			f.Object, f.File, f.Offset = d.Object, "objects/"+d.File, d.Offset
			return r.found(f)
		},
		Note: func(text string) {
			if !slices.Contains(r.summary.Notes, text) {
				r.summary.Notes = append(r.summary.Notes, text)
			}
		},
	})
}
