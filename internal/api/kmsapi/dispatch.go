package kmsapi

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/diskport/diskport/internal/api/awshttp"
	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

// action answers one request. It returns the content of the body, or nil for none.
type action func(ctx context.Context, c call) (any, error)

// on builds an action that is about no key, or about several. Its handler
// authorises.
func on[R any](handle func(ctx context.Context, c call, r R) (any, error)) action {
	return func(ctx context.Context, c call) (any, error) {
		var r R
		if err := decode(c.Body, &r); err != nil {
			return nil, err
		}
		return handle(ctx, c, r)
	}
}

// onKey builds an action about one key from its parts. All of them have the same
// order: decode, open (which authorises), dry run, handle.
func onKey[R keyed](permission string, handle func(ctx context.Context, c call, a kms.Access, r R) (any, error)) action {
	return on(func(ctx context.Context, c call, r R) (any, error) {
		a, err := c.open(ctx, permission, r.key(), r)
		if err != nil {
			return nil, err
		}
		if d, ok := any(r).(interface{ dry() bool }); ok && d.dry() {
			return nil, dryRun
		}
		return handle(ctx, c, a, r)
	})
}

var dryRun = awshttp.Fault{Status: 400, Code: "DryRunOperationException", Message: "The request would have succeeded, but the DryRun option is set."}

// keyed is implemented by requests about one key.
type keyed interface{ key() string }

// keyIn names the key that a request is about. It is embedded in requests.
type keyIn struct{ KeyId string }

func (k keyIn) key() string { return k.KeyId }

// open opens a key for a request. The request may add condition keys.
func (c call) open(ctx context.Context, permission, key string, r any) (kms.Access, error) {
	if key == "" {
		return kms.Access{}, required("keyId")
	}
	ask := kms.Ask{Action: permission, Key: key}
	if x, ok := r.(interface{ context() kms.EncryptionContext }); ok {
		ask.Context = x.context()
	}
	if x, ok := r.(interface{ about() policy.Context }); ok {
		ask.With = x.about()
	}
	if x, ok := r.(interface{ tokens() []string }); ok {
		// Grants take effect at once, so tokens only have to be well formed.
		for _, token := range x.tokens() {
			if _, err := kms.ParseToken(token); err != nil {
				return kms.Access{}, err
			}
		}
	}
	return c.opts.Service.Open(ctx, c.who, ask)
}

func invalid(text string) error {
	return awshttp.Fault{Status: 400, Code: "ValidationException", Message: text}
}

func required(field string) error {
	return invalid("1 validation error detected: Value null at '" + field + "' failed to satisfy constraint: Member must not be null")
}

// decode reads a body into r strictly. It refuses parameters that AWS may have and
// this service does not: it would be worse to accept them and do nothing about
// them.
func decode(body []byte, r any) error {
	if len(body) == 0 {
		body = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	strict := d.Decode(r)
	if strict == nil && !d.More() {
		return nil
	}
	if strict != nil && json.Unmarshal(body, r) == nil {
		return awshttp.Fault{Status: 400, Code: "UnsupportedOperationException", Message: "A parameter of the request is not supported: " + strict.Error()}
	}
	return awshttp.Fault{Status: 400, Code: "SerializationException", Message: "The request body can't be read."}
}

// Actions returns the names of the actions that are built, sorted.
func Actions() []string { return slices.Sorted(maps.Keys(actions)) }
