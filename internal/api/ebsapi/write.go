package ebsapi

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/block"
	"github.com/diskport/diskport/internal/store/snapshot"
)

// The values of checksum headers.
const (
	algorithm   = "SHA256"
	aggregation = "LINEAR"
)

func (a *API) putBlock(ctx context.Context, w http.ResponseWriter, r request) error {
	b, err := r.block()
	if err != nil {
		return err
	}
	if err := a.Drafts.Put(ctx, r.Home(), r.id, b); err != nil {
		return writing(r.id, err)
	}
	h := w.Header()
	h.Set("X-Amz-Checksum", b.Digest.Base64())
	h.Set("X-Amz-Checksum-Algorithm", algorithm)
	awshttp.WriteJSON(w, http.StatusCreated, struct{}{})
	return nil
}

// block reads the parameters and the body of a PutSnapshotBlock.
func (r request) block() (b snapshot.WrittenBlock, err error) {
	if b.Index, err = parseIndex(r.index); err != nil {
		return b, err
	}
	if !snapshotID.MatchString(r.id) {
		return b, notASnapshot(r.id)
	}
	length, err := strconv.Atoi(r.header.Get("X-Amz-Data-Length"))
	if err != nil || r.header.Get("X-Amz-Checksum-Algorithm") != algorithm {
		return b, errBare
	}
	if length != block.Size {
		return b, invalid("INVALID_PARAMETER_VALUE", fmt.Sprintf("A block has %d bytes, not the %d of x-amz-Data-Length", block.Size, length))
	}
	if b.Digest, err = parseDigest(r.header.Get("X-Amz-Checksum")); err != nil {
		return b, err
	}
	if text := r.header.Get("X-Amz-Progress"); text != "" {
		if b.Progress, err = strconv.Atoi(text); err != nil || b.Progress < 0 || b.Progress > 100 {
			return b, errBare
		}
	}
	if len(r.Body) != block.Size {
		return b, invalid("INVALID_PARAMETER_VALUE", "Failed to read block data")
	}
	b.Data = r.Body
	return b, nil
}

func parseDigest(text string) (d block.Digest, err error) {
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != len(d) {
		return d, errBare
	}
	return block.Digest(sum), nil
}

func (a *API) completeSnapshot(ctx context.Context, w http.ResponseWriter, r request) error {
	want, err := r.expected()
	if err != nil {
		return err
	}
	if !snapshotID.MatchString(r.id) {
		return notASnapshot(r.id)
	}
	state, err := a.Drafts.Complete(ctx, r.Home(), r.id, want)
	if err != nil {
		return writing(r.id, err)
	}
	awshttp.WriteJSON(w, http.StatusAccepted, struct{ Status snapshot.State }{state})
	return nil
}

// expected reads what was written, according to a CompleteSnapshot.
func (r request) expected() (want snapshot.Expected, err error) {
	want.Blocks, err = strconv.ParseInt(r.header.Get("X-Amz-ChangedBlocksCount"), 10, 32)
	if err != nil || want.Blocks < 0 {
		return want, errBare
	}
	sum, how, method := r.header.Get("X-Amz-Checksum"), r.header.Get("X-Amz-Checksum-Algorithm"), r.header.Get("X-Amz-Checksum-Aggregation-Method")
	if how != "" && how != algorithm || method != "" && method != aggregation {
		return want, errBare
	}
	if sum == "" {
		return want, nil
	}
	if how == "" || method == "" { // the three go together
		return want, errBare
	}
	d, err := parseDigest(sum)
	want.Checksum = d[:]
	return want, err
}

// writing is about for the operations that write, for which a snapshot that does
// not exist is a bad parameter.
func writing(id string, err error) error {
	if errors.Is(err, snapshot.ErrNotFound) {
		return notASnapshot(id)
	}
	return about(id, err)
}

func notASnapshot(id string) error {
	return invalid("INVALID_SNAPSHOT_ID", "Value ("+clip(id)+") for parameter snapshotId is invalid. Expected: 'snap-...'.")
}
