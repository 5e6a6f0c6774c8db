package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Account is one of the accounts of a service.
type Account struct {
	ID              string    `json:"id"`
	AccessKeyID     string    `json:"accessKeyId"`               // of its root key
	SecretAccessKey string    `json:"secretAccessKey,omitempty"` // returned only by AddAccount
	CreatedAt       time.Time `json:"createdAt"`
}

// Accounts lists the accounts of the service, sorted by id.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	var out struct{ Accounts []Account }
	if err := c.call(ctx, http.MethodGet, "accounts", &out); err != nil {
		return nil, fmt.Errorf("listing accounts: %w", err)
	}
	return out.Accounts, nil
}

// AddAccount makes an account; when id is empty, the service chooses one. Its
// secret is returned only this once.
func (c *Client) AddAccount(ctx context.Context, id string) (Account, error) {
	path := "accounts"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	var a Account
	if err := c.call(ctx, http.MethodPost, path, &a); err != nil {
		return Account{}, fmt.Errorf("adding an account: %w", err)
	}
	return a, nil
}

// RemoveAccount removes an account that owns nothing any more.
func (c *Client) RemoveAccount(ctx context.Context, id string) error {
	if err := c.call(ctx, http.MethodDelete, "accounts/"+url.PathEscape(id), &struct{}{}); err != nil {
		return fmt.Errorf("removing account %s: %w", id, err)
	}
	return nil
}
