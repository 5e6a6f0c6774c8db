package ebsapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/diskport/diskport/internal/store/frame"
)

func (a *API) getBlock(ctx context.Context, w http.ResponseWriter, r request) error {
	index, err := parseIndex(r.index)
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
	if index >= blocksOf(record.VolumeSize) {
		return invalid("INVALID_BLOCK", "Block index "+r.index+" is beyond the volume size extent")
	}
	if token := r.query.Get("blockToken"); !a.tokens.opensBlock(token, r.id, index, a.Now()) {
		return invalid("INVALID_BLOCK_TOKEN", "The block token "+clip(token)+" is invalid.")
	}
	// The buffer is held until the client has read the block.
	if err := r.Reserve(frame.Size); err != nil {
		return err
	}
	buf := a.frames.Get().(*[]byte)
	defer a.frames.Put(buf)
	payload, digest, err := blocks.Read(ctx, index, *buf)
	if err != nil {
		return about(r.id, &blockError{index, err})
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(payload)))
	h.Set("X-Amz-Data-Length", strconv.Itoa(len(payload)))
	h.Set("X-Amz-Checksum", digest.Base64())
	h.Set("X-Amz-Checksum-Algorithm", "SHA256")
	_, _ = w.Write(payload) // a client that is gone needs no answer
	return nil
}
