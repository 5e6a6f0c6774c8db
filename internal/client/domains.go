package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// Domain is a dedupe domain: what one account has under one KMS key, or under none.
type Domain struct {
	ID            string `json:"id"`
	Account       string `json:"account"`
	KMSKeyARN     string `json:"kmsKeyArn,omitempty"` // of one that is encrypted
	OldestDataKey uint32 `json:"oldestDataKey"`       // numbers
	NewestDataKey uint32 `json:"newestDataKey"`
	Encrypted     int64  `json:"encryptedBlocks"` // under the newest, at most
	Packs         int64  `json:"packs"`
	OutdatedPacks int64  `json:"outdatedPacks"` // may have blocks under data keys that are to go
	Retiring      bool   `json:"retiring"`      // it has data keys that are to go
}

// Domains lists the dedupe domains of all accounts.
func (c *Client) Domains(ctx context.Context) ([]Domain, error) {
	answer := struct{ Domains []Domain }{[]Domain{}} // which --json prints as a list
	if err := c.call(ctx, http.MethodGet, "domains", &answer); err != nil {
		return nil, fmt.Errorf("listing domains: %w", err)
	}
	return answer.Domains, nil
}

// RotateMaster has the service replace its master key, and returns how many secrets were
// wrapped under the new one.
func (c *Client) RotateMaster(ctx context.Context) (secrets int, err error) {
	var answer struct{ Secrets int }
	if err := c.call(ctx, http.MethodPost, "master-key/rotate", &answer); err != nil {
		return 0, fmt.Errorf("replacing the master key: %w", err)
	}
	return answer.Secrets, nil
}

// Rotation says which domains' data keys are rotated, and how. One of the first three names
// them.
type Rotation struct {
	Domain   string
	Snapshot string
	KMSKey   string // id or ARN
	Rewrap   bool   // only wrap the keys anew
	Rate     int64  // bytes a second that are read and written; 0: no bound
}

// Rotated says what was done in one domain.
type Rotated struct {
	Domain        string   `json:"domain"`
	OldestDataKey uint32   `json:"oldestDataKey"`
	NewestDataKey uint32   `json:"newestDataKey"`
	Retiring      bool     `json:"retiring"` // old data keys are still there
	Packs         int64    `json:"packs"`
	NewPacks      int64    `json:"newPacks"`
	Blocks        int64    `json:"blocks"`
	Encrypted     int64    `json:"encryptedBlocks"` // of them: anew
	Damaged       []string `json:"damaged,omitempty"`
	Locked        []string `json:"locked,omitempty"`
	Stopped       string   `json:"stopped,omitempty"`
}

// Rotate rotates data keys, and calls progress now and then. It ends with ctx. With an error
// come the domains that were dealt with before.
func (c *Client) Rotate(ctx context.Context, r Rotation, progress func(done, total int64)) ([]Rotated, error) {
	q := url.Values{}
	for name, value := range map[string]string{"domain": r.Domain, "snapshot": r.Snapshot, "kmsKey": r.KMSKey} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if r.Rewrap {
		q.Set("rewrap", "true")
	}
	q.Set("rate", strconv.FormatInt(r.Rate, 10))
	done, err := outcome[struct{ Domains []Rotated }]("rotating data keys", func(result any) error {
		return c.watch(ctx, "domains/rotate?"+q.Encode(), result, progress)
	})
	return done.Domains, err
}
