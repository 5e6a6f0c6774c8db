package ebsapi

import (
	"context"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/block"
)

// list is the answer of both lists. Absent members are null.
type list struct {
	BlockSize     int
	Blocks        *[]blockEntry  `json:",omitempty"`
	ChangedBlocks *[]changeEntry `json:",omitempty"`
	ExpiryTime    epoch          // of the block tokens
	NextToken     *string
	VolumeSize    int64 // GiB
}

type blockEntry struct {
	BlockIndex int64
	BlockToken string
}

// changeEntry has a token for each snapshot that has the block.
type changeEntry struct {
	BlockIndex       int64
	FirstBlockToken  string `json:",omitempty"`
	SecondBlockToken string `json:",omitempty"`
}

// epoch is written as seconds with a fraction.
type epoch time.Time

// MarshalJSON implements json.Marshaler.
func (t epoch) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(t).UnixMilli())/1000, 'f', -1, 64), nil
}

func (a *API) listBlocks(ctx context.Context, w http.ResponseWriter, r request) error {
	page, err := r.page()
	if err != nil {
		return err
	}
	if err := checkID(r.id); err != nil {
		return err
	}
	record, blocks, err := a.open(ctx, r, r.id)
	if err != nil {
		return err
	}
	l, err := a.newList(r, &page, record.VolumeSize)
	if err != nil {
		return err
	}
	entries, next, err := take(blocks.From(ctx, page.from), page.max)
	if err != nil {
		return about(r.id, err)
	}
	out := make([]blockEntry, len(entries))
	for i, e := range entries {
		out[i] = blockEntry{e.Index, a.tokens.forBlock(r.id, e.Index, time.Time(l.ExpiryTime))}
	}
	l.Blocks = &out
	if next != nil {
		l.NextToken = a.nextToken(r, next.Index)
	}
	awshttp.WriteJSON(w, http.StatusOK, l)
	return nil
}

func (a *API) listChanged(ctx context.Context, w http.ResponseWriter, r request) error {
	page, err := r.page()
	if err != nil {
		return err
	}
	first := r.query.Get("firstSnapshotId")
	for _, id := range []string{first, r.id} {
		if err := checkID(id); err != nil {
			return err
		}
	}
	earlier, before, err := a.open(ctx, r, first)
	if err != nil {
		return err
	}
	record, after, err := a.open(ctx, r, r.id)
	if err != nil {
		return err
	}
	if a.Strict && earlier.Lineage != record.Lineage {
		return invalid("UNRELATED_SNAPSHOTS", "The snapshots are not related.")
	}
	l, err := a.newList(r, &page, record.VolumeSize)
	if err != nil {
		return err
	}
	changes, next, err := take(before.Diff(ctx, after, page.from), page.max)
	if err != nil {
		return about(r.id, err)
	}
	out := make([]changeEntry, len(changes))
	for i, c := range changes {
		out[i].BlockIndex = c.Index
		if c.InA {
			out[i].FirstBlockToken = a.tokens.forBlock(first, c.Index, time.Time(l.ExpiryTime))
		}
		if c.InB {
			out[i].SecondBlockToken = a.tokens.forBlock(r.id, c.Index, time.Time(l.ExpiryTime))
		}
	}
	l.ChangedBlocks = &out
	if next != nil {
		l.NextToken = a.nextToken(r, next.Index)
	}
	awshttp.WriteJSON(w, http.StatusOK, l)
	return nil
}

// newList begins the answer. If page has a token, newList sets where the page
// begins from it.
func (a *API) newList(r request, page *pageOf, gib int64) (list, error) {
	now := a.Now()
	if page.token != "" {
		from, ok := a.tokens.opensPage(page.token, now, r.binding()...)
		if !ok {
			return list{}, invalid("INVALID_PAGE_TOKEN", "The pagination token "+clip(page.token)+" is invalid.")
		}
		page.from = from
	}
	return list{BlockSize: block.Size, ExpiryTime: epoch(now.Add(blockLife).Truncate(time.Second)), VolumeSize: gib}, nil
}

// binding returns the values that a page token is bound to.
func (r request) binding() []string {
	return append([]string{r.Principal.Account, r.Action}, r.snapshots(r.Action)...)
}

func (a *API) nextToken(r request, index int64) *string {
	token := a.tokens.forPage(index, a.Now(), r.binding()...)
	return &token
}

// take returns the first n of a sequence, and the one after them if there is.
func take[T any](seq iter.Seq2[T, error], n int) (some []T, next *T, err error) {
	for v, err := range seq {
		if err != nil {
			return nil, nil, err
		}
		if len(some) == n {
			return some, &v, nil
		}
		some = append(some, v)
	}
	return some, nil, nil
}
