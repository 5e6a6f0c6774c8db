package iam_test

import (
	"context"
	"errors"
	"testing"

	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/iam/iamtest"
	"github.com/diskport/diskport/internal/identity/secret"
)

// asking counts what a service asks its store for.
type asking struct {
	iam.Store
	asked int
	lost  bool // the number of the generation
}

func (a *asking) Generation(ctx context.Context) (int64, error) {
	if a.lost {
		return 0, nil
	}
	return a.Store.Generation(ctx)
}

func (a *asking) AccessKey(ctx context.Context, id string) (iam.AccessKey, error) {
	a.asked++
	return a.Store.AccessKey(ctx, id)
}

func (a *asking) Policies(ctx context.Context, o iam.Owner) (iam.Policies, error) {
	a.asked++
	return a.Store.Policies(ctx, o)
}

// A principal is read once, and anew after each change, whoever makes it: here another
// service on the same store, as another node would.
func TestWhatIsKnownIsOfTheGeneration(t *testing.T) {
	store := &asking{Store: &iamtest.Memory{}}
	options := iam.Options{Store: store, Wrapper: masterKey(t, 7), Tokens: masterKey(t, 7).For(secret.SessionTokens)}
	s, other := iam.New(options), iam.New(options)
	ctx := t.Context()
	id := makeUser(t, other, account, "ann")
	look := func(times int) iam.Principal {
		t.Helper()
		var p iam.Principal
		for range times {
			p = key(t, s, id)
		}
		return p
	}
	look(1)
	store.asked = 0
	if look(10); store.asked != 0 {
		t.Errorf("the store was asked %d times for what has not changed", store.asked)
	}
	read := func() error { return iam.Authorize(ctx, look(1), "s3:GetObject", nil, "arn:aws:s3:::images/a") }
	if err := read(); err == nil {
		t.Error("a user without policies may read")
	}
	if err := other.PutInline(ctx, iam.UserOwner(account, "ann"), iam.Policy{Name: "p", Document: reader}); err != nil {
		t.Fatal(err)
	}
	if err := read(); err != nil {
		t.Errorf("the policy does not hold at the next request: %v", err)
	}
	if err := other.DeleteInline(ctx, iam.UserOwner(account, "ann"), "p"); err != nil {
		t.Fatal(err)
	}
	if err := read(); err == nil {
		t.Error("a deleted policy holds at the next request")
	}
	if err := other.DeleteAccessKey(ctx, account, "ann", id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Lookup(ctx, id, ""); !errors.Is(err, iam.ErrUnknownKey) {
		t.Errorf("a deleted key: %v", err)
	}
}

// Without a generation, nothing is kept.
func TestWithoutAGenerationNothingIsKept(t *testing.T) {
	store := &asking{Store: &iamtest.Memory{}, lost: true}
	s := iam.New(iam.Options{Store: store, Wrapper: masterKey(t, 7), Tokens: masterKey(t, 7)})
	id := makeUser(t, s, account, "ann")
	store.asked = 0
	for range 3 {
		key(t, s, id)
	}
	if store.asked != 6 {
		t.Errorf("the store was asked %d times, want 6", store.asked)
	}
}
