package adminapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/diskport/diskport/internal/identity/iam"
)

// account is an account in an answer. The secret is in the answer that makes the
// account, and in no other.
type account struct {
	ID              string    `json:"id"`
	AccessKeyID     string    `json:"accessKeyId"` // of the root key
	SecretAccessKey string    `json:"secretAccessKey,omitempty"`
	CreatedAt       time.Time `json:"createdAt"`
}

func wireAccount(a iam.Account) account {
	return account{ID: a.ID, AccessKeyID: a.KeyID, CreatedAt: a.Created.UTC()}
}

func (e *Edge) listAccounts(r *request) error {
	all, err := e.Accounts.Accounts(r.Context())
	if err != nil {
		return err
	}
	answer := struct {
		Accounts []account `json:"accounts"`
	}{make([]account, 0, len(all))}
	for _, a := range all {
		answer.Accounts = append(answer.Accounts, wireAccount(a))
	}
	writeJSON(r.w, http.StatusOK, answer)
	return nil
}

func (e *Edge) addAccount(r *request) error {
	id := r.PathValue("id")
	made, secret, err := e.Accounts.AddAccount(r.Context(), id)
	if errors.Is(err, iam.ErrExists) {
		return &failure{http.StatusConflict, "AccountExists", "there is an account " + id + " already"}
	}
	if errors.Is(err, iam.ErrRemoved) {
		return &failure{http.StatusConflict, "AccountRemoved", "account " + id + " " + iam.ErrRemoved.Error() + ", or leave it out to get one"}
	}
	if err != nil {
		return err
	}
	answer := wireAccount(made)
	answer.SecretAccessKey = secret.Reveal()
	r.w.Header().Set("Cache-Control", "no-store")
	writeJSON(r.w, http.StatusOK, answer)
	return nil
}

func (e *Edge) removeAccount(r *request) error {
	id := r.PathValue("id")
	if id == e.Operator {
		return &failure{http.StatusConflict, "AccountInUse", "account " + id + " is the service's own"}
	}
	var owned string
	err := e.Accounts.RemoveAccount(r.Context(), id, func(ctx context.Context, id string) (what string, err error) {
		owned, err = e.Owns(ctx, id)
		return owned, err
	})
	switch {
	case errors.Is(err, iam.ErrInUse):
		return &failure{http.StatusConflict, "AccountInUse", "account " + id + " still owns " + cmp.Or(owned, "what was just made")}
	case errors.Is(err, iam.ErrNotFound):
		return &failure{http.StatusNotFound, "NoSuchAccount", "there is no account " + id}
	case err != nil:
		return err
	}
	writeJSON(r.w, http.StatusOK, struct{}{})
	return nil
}
