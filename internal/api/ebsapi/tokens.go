package ebsapi

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/diskport/diskport/internal/api/awshttp"
)

// How long tokens can be used, as AWS documents it.
const (
	blockLife = 7 * 24 * time.Hour
	pageLife  = time.Hour
)

type tokens struct{ block, page awshttp.Mint }

func newTokens(key []byte) tokens {
	return tokens{block: awshttp.NewMint(key, "ebs block"), page: awshttp.NewMint(key, "ebs page")}
}

// forBlock returns the token that reads one block of one snapshot.
func (t tokens) forBlock(snapshot string, index int64, until time.Time) string {
	return t.block.Make(nil, until, snapshot, strconv.FormatInt(index, 10))
}

func (t tokens) opensBlock(token, snapshot string, index int64, now time.Time) bool {
	_, ok := t.block.Open(token, now, snapshot, strconv.FormatInt(index, 10))
	return ok
}

// forPage returns the token for the rest of a list, from an index on. list is what
// the token is bound to: account, operation, snapshots.
func (t tokens) forPage(index int64, now time.Time, list ...string) string {
	return t.page.Make(binary.BigEndian.AppendUint64(nil, uint64(index)), now.Add(pageLife), list...)
}

func (t tokens) opensPage(token string, now time.Time, list ...string) (index int64, ok bool) {
	payload, ok := t.page.Open(token, now, list...)
	if !ok || len(payload) != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(payload)), true
}
