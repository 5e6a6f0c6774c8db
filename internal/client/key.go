package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// CheckKey fails if a KMS key does not exist, or can't be used now, which an import would find
// only once the image is there. Whatever else keeps it from asking is no failure: the import
// asks again, as the service role.
func (c *Client) CheckKey(ctx context.Context, key string) error {
	body, err := json.Marshal(struct{ KeyId string }{key})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "TrentService.DescribeKey")
	resp, err := c.send(req, "kms", body)
	if err != nil {
		return nil //nolint:nilerr // the import says it
	}
	defer resp.Body.Close()
	var answer struct {
		Type        string `json:"__type"`
		KeyMetadata struct{ KeyState string }
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxXML)).Decode(&answer); err != nil {
		return nil //nolint:nilerr // the answer is not KMS's
	}
	switch state := answer.KeyMetadata.KeyState; {
	case answer.Type == "NotFoundException":
		return &APIError{resp.StatusCode, answer.Type, fmt.Sprintf("there is no KMS key %s in this account and region, so nothing could be encrypted under it", key), ""}
	case state != "" && state != "Enabled":
		return &APIError{http.StatusBadRequest, "KMSInvalidStateException", fmt.Sprintf("the KMS key %s is in the state %s, so nothing can be encrypted under it", key, state), ""}
	}
	return nil
}
