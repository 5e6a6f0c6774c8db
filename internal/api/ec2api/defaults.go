package ec2api

import (
	"context"
)

// bareRequest is a request without parameters of its own.
type bareRequest struct{ common }

// awsKey is what an account's default key is called while it is AWS's own.
const awsKey = "alias/aws/ebs"

type keyAnswer struct {
	Key string `xml:"kmsKeyId"`
}

func getDefaultKey(ctx context.Context, c call, _ bareRequest) (any, error) {
	d, err := c.Defaults.Defaults(ctx, c.Home())
	if err != nil {
		return nil, err
	}
	return keyAnswer{orDefault(d.KMSKey, awsKey)}, nil
}

type modifyDefaultKeyRequest struct {
	common
	KmsKeyId string
}

var modifyDefaultKeyRules = []rule[modifyDefaultKeyRequest]{
	needed("KmsKeyId", func(r modifyDefaultKeyRequest) string { return r.KmsKeyId }),
}

func modifyDefaultKey(ctx context.Context, c call, r modifyDefaultKeyRequest) (any, error) {
	arn, err := c.Keys.Resolve(ctx, c.KeyUser(), r.KmsKeyId)
	if err != nil {
		return nil, about(r.KmsKeyId, err)
	}
	if err := c.Defaults.SetDefaultKey(ctx, c.Home(), arn); err != nil {
		return nil, err
	}
	return keyAnswer{arn}, nil
}

func resetDefaultKey(ctx context.Context, c call, _ bareRequest) (any, error) {
	if err := c.Defaults.SetDefaultKey(ctx, c.Home(), ""); err != nil {
		return nil, err
	}
	return keyAnswer{awsKey}, nil
}

type encryptAnswer struct {
	On   bool   `xml:"ebsEncryptionByDefault"`
	Type string `xml:"sseType,omitempty"`
}

func getEncryptByDefault(ctx context.Context, c call, _ bareRequest) (any, error) {
	d, err := c.Defaults.Defaults(ctx, c.Home())
	if err != nil {
		return nil, err
	}
	if d.Encrypt {
		return encryptAnswer{true, "sse-kms"}, nil
	}
	return encryptAnswer{false, "none"}, nil
}

func enableEncryptByDefault(ctx context.Context, c call, _ bareRequest) (any, error) {
	if err := c.Defaults.EnableEncryption(ctx, c.Home()); err != nil {
		return nil, err
	}
	return encryptAnswer{On: true}, nil
}

func disableEncryptByDefault(ctx context.Context, c call, _ bareRequest) (any, error) {
	if err := c.Defaults.DisableEncryption(ctx, c.Home()); err != nil {
		return nil, err
	}
	return encryptAnswer{On: false}, nil
}
