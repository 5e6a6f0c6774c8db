package adminapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/diskport/diskport/internal/logkey"
	"github.com/diskport/diskport/internal/space"
	"github.com/diskport/diskport/internal/store/blockstore"
	"github.com/diskport/diskport/internal/store/compact"
	"github.com/diskport/diskport/internal/store/keyring"
)

// Domains lists dedupe domains and wraps their keys. keyring.Ring implements it.
type Domains interface {
	Holdings(ctx context.Context) ([]keyring.Holding, error)
	Rewrap(ctx context.Context, domain string) (blockstore.Domain, error)
}

// domainInfo is a dedupe domain on the wire.
type domainInfo struct {
	ID            string `json:"id"`
	Account       string `json:"account"`
	KMSKeyARN     string `json:"kmsKeyArn,omitempty"` // of one that is encrypted
	OldestDataKey uint32 `json:"oldestDataKey"`       // numbers
	NewestDataKey uint32 `json:"newestDataKey"`
	Encrypted     int64  `json:"encryptedBlocks"` // under the newest, at most
	Packs         int64  `json:"packs"`
	Outdated      int64  `json:"outdatedPacks"` // of them: may have blocks under data keys that are to go
	Retiring      bool   `json:"retiring"`      // it has data keys that are to go
}

func wireDomain(h keyring.Holding) domainInfo {
	return domainInfo{h.ID, h.Account, h.KMSKey, h.Oldest, h.Newest, h.Encrypted, h.Packs, h.Outdated, h.Retiring()}
}

func (e *Edge) listDomains(r *request) error {
	all, err := e.Domains.Holdings(r.Context())
	if err != nil {
		return err
	}
	list := make([]domainInfo, 0, len(all))
	for _, h := range all {
		list = append(list, wireDomain(h))
	}
	writeJSON(r.w, http.StatusOK, struct {
		Domains []domainInfo `json:"domains"`
	}{list})
	return nil
}

// namedDomains returns the encrypted domains that a request names: one by its id or a
// snapshot of it, or all under a KMS key, which is named by its id or ARN.
func (e *Edge) namedDomains(r *request) (ids []string, err error) {
	q := r.URL.Query()
	domain, snapshot, key := q.Get("domain"), q.Get("snapshot"), q.Get("kmsKey")
	named := slices.DeleteFunc([]string{domain, snapshot, key}, func(s string) bool { return s == "" })
	if len(named) != 1 {
		return nil, &failure{http.StatusBadRequest, "InvalidParameter", "name a domain, a snapshot or a kmsKey, and only one of them"}
	}
	if snapshot != "" {
		rec, err := e.Snapshots.Get(r.Context(), r.call.Region, snapshot)
		if err != nil {
			return nil, err
		}
		domain = rec.Domain
	}
	all, err := e.Domains.Holdings(r.Context())
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		if h.KMSKey != "" && (h.ID == domain || key != "" && (h.KMSKey == key || strings.HasSuffix(h.KMSKey, ":key/"+key))) {
			ids = append(ids, h.ID)
		}
	}
	if len(ids) == 0 && snapshot != "" {
		return nil, &failure{http.StatusNotFound, "NoSuchDomain", "snapshot " + snapshot + " has no encrypted blocks: diskport rotate-key --list says what there is"}
	}
	if len(ids) == 0 {
		return nil, &failure{http.StatusNotFound, "NoSuchDomain", "nothing that is encrypted is named so: diskport rotate-key --list says what there is"}
	}
	return ids, nil
}

// rotated is what a rotation did, on the wire.
type rotated struct {
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

func wireRotated(r compact.Rotated) rotated {
	return rotated{
		r.Domain.ID, r.Domain.Oldest, r.Domain.Newest, r.Domain.Retiring(),
		r.Packs, r.NewPacks, r.Blocks, r.Encrypted, r.Damaged, r.Locked, r.Stopped,
	}
}

// rotateDomains makes new data keys and has everything encrypted under them, or only wraps
// the keys anew. It answers with events: progress now and then, and one result at the end.
func (e *Edge) rotateDomains(r *request) error {
	with, err := effort(r)
	if err != nil {
		return err
	}
	ids, err := e.namedDomains(r)
	if err != nil {
		return err
	}
	rotate := func(ctx context.Context, id string, progress func(compact.Progress)) (compact.Rotated, error) {
		return e.Compactor.Rotate(ctx, id, with.Rate, progress)
	}
	if r.URL.Query().Get("rewrap") != "" {
		rotate = func(ctx context.Context, id string, _ func(compact.Progress)) (compact.Rotated, error) {
			d, err := e.Domains.Rewrap(ctx, id)
			return compact.Rotated{Domain: d}, err
		}
	}
	stream := startEvents(r.w)
	tell := e.teller(stream)
	progress := func(p compact.Progress) { tell(p.Done, p.Total) }
	var result struct {
		Domains []rotated `json:"domains"`
		Error   string    `json:"error,omitempty"`
	}
	for _, id := range ids {
		done, err := rotate(r.Context(), id, progress)
		if r.Context().Err() != nil {
			return nil
		}
		done.Log(r.Context(), e.Log)
		if err != nil {
			e.Log.ErrorContext(r.Context(), "rotating data keys", "domain", id, logkey.Error, err)
			result.Error = err.Error() // it is the operator who asks
			break
		}
		result.Domains = append(result.Domains, wireRotated(done))
	}
	_ = stream.send("result", mustMarshal(result)) // the client may be gone
	return nil
}

// rotateMaster replaces the master key. It goes on when its client goes.
func (e *Edge) rotateMaster(r *request) error {
	n, err := e.RotateMaster(context.WithoutCancel(r.Context()))
	if err != nil {
		e.Log.ErrorContext(r.Context(), "replacing the master key", logkey.Error, err)
		if space.IsFull(err) {
			return err
		}
		// It is the operator who asks.
		return &failure{http.StatusConflict, "NotRotated", err.Error()}
	}
	writeJSON(r.w, http.StatusOK, struct {
		Secrets int `json:"secrets"`
	}{n})
	return nil
}
