package iamtest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
)

// testQuotas has many calls at once, of which as many succeed as there may be.
func testQuotas(t *testing.T, s iam.Store) {
	const most, calls = 3, 8
	for kind, create := range map[string]func(name string) error{
		iam.KindUser:    func(name string) error { return s.CreateUser(t.Context(), user(name), most) },
		iam.KindRole:    func(name string) error { return s.CreateRole(t.Context(), role(name), most) },
		iam.KindManaged: func(name string) error { return s.CreatePolicy(t.Context(), managed(name), most) },
		iam.KindProfile: func(name string) error { return s.CreateProfile(t.Context(), profile(name), most) },
	} {
		var made atomic.Int64
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				switch err := create(fmt.Sprint("q", i)); {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, iam.ErrTooMany):
					t.Errorf("%s: %v", kind, err)
				}
			})
		}
		all.Wait()
		if made.Load() != most {
			t.Errorf("%s: %d were made, and %d is the most", kind, made.Load(), most)
		}
	}
	other := role("elsewhere")
	other.Account = stranger
	check(t, "another account's", s.CreateRole(t.Context(), other, 1))
	refused(t, "a name that is taken", s.CreateRole(t.Context(), other, 1), iam.ErrExists)
}
