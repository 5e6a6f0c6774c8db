package kmsapi

import (
	"cmp"
	"context"
	"errors"

	"github.com/diskport/diskport/internal/identity/kms"
	"github.com/diskport/diskport/internal/identity/policy"
)

// cryptIn holds the parameters that requests to use a key have in common.
type cryptIn struct {
	grantTokens
	dryIn
	EncryptionContext kms.EncryptionContext
}

func (r cryptIn) context() kms.EncryptionContext { return r.EncryptionContext }

const symmetric = "SYMMETRIC_DEFAULT"

// checkAlgorithm refuses algorithms that symmetric keys do not have.
func checkAlgorithm(k kms.Key, algorithm string) error {
	if algorithm != "" && algorithm != symmetric {
		return &kms.Error{Err: kms.ErrUsage, Message: "Algorithm " + shorten(algorithm) + " is incompatible with key spec " + string(k.Spec) + "."}
	}
	return nil
}

// shorten cuts a client's text, so that it can't fill the response.
func shorten(text string) string { return text[:min(len(text), 128)] }

type encryptIn struct {
	keyIn
	cryptIn
	EncryptionAlgorithm string
	Plaintext           []byte
}

func (r encryptIn) about() policy.Context { return algorithmKeys(r.EncryptionAlgorithm) }

// algorithmKeys returns the condition key for the requested algorithm.
func algorithmKeys(algorithm string) policy.Context {
	c := policy.Context{}
	c.Set("kms:EncryptionAlgorithm", cmp.Or(algorithm, symmetric))
	return c
}

func encrypt(_ context.Context, c call, a kms.Access, r encryptIn) (any, error) {
	if err := checkAlgorithm(a.Key, r.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	blob, err := c.opts.Service.Encrypt(a.Key, r.Plaintext, r.EncryptionContext)
	return struct {
		CiphertextBlob             []byte
		KeyId, EncryptionAlgorithm string
	}{blob, a.Key.ARN(), symmetric}, err
}

type decryptIn struct {
	cryptIn
	CiphertextBlob      []byte
	EncryptionAlgorithm string
	KeyId               string
}

func (r decryptIn) about() policy.Context { return algorithmKeys(r.EncryptionAlgorithm) }

// source opens the key of a ciphertext: the one that the request names, else the
// one that the ciphertext names.
func (c call) source(ctx context.Context, permission, named string, blob []byte, r any) (kms.Access, error) {
	if len(blob) == 0 {
		return kms.Access{}, required("ciphertextBlob")
	}
	if named != "" {
		return c.open(ctx, permission, named, r)
	}
	target, err := kms.Target(blob)
	if err != nil {
		return kms.Access{}, err
	}
	a, err := c.open(ctx, permission, target, r)
	if errors.Is(err, kms.ErrNotFound) {
		err = &kms.Error{Err: kms.ErrDenied, Message: "The ciphertext refers to a customer master key that does not exist, " +
			"does not exist in this region, or you are not allowed to access."}
	}
	return a, err
}

func decrypt(ctx context.Context, c call, r decryptIn) (any, error) {
	a, err := c.source(ctx, "kms:Decrypt", r.KeyId, r.CiphertextBlob, r)
	if err != nil {
		return nil, err
	}
	if err := checkAlgorithm(a.Key, r.EncryptionAlgorithm); err != nil {
		return nil, err
	}
	if r.DryRun {
		return nil, dryRun
	}
	plain, err := c.opts.Service.Decrypt(a.Key, r.CiphertextBlob, r.EncryptionContext)
	return struct {
		Plaintext                  []byte
		KeyId, EncryptionAlgorithm string
		KeyMaterialId              string `json:",omitempty"`
	}{plain, a.Key.ARN(), symmetric, kms.MaterialOf(a.Key, r.CiphertextBlob)}, err
}

type reEncryptIn struct {
	grantTokens
	dryIn
	CiphertextBlob                 []byte
	SourceKeyId                    string
	SourceEncryptionAlgorithm      string
	SourceEncryptionContext        kms.EncryptionContext
	DestinationKeyId               string
	DestinationEncryptionAlgorithm string
	DestinationEncryptionContext   kms.EncryptionContext
}

// half is what a ReEncrypt says about one of its two keys.
type half struct {
	cryptIn
	algorithm string
}

func (h half) about() policy.Context { return algorithmKeys(h.algorithm) }

func (r reEncryptIn) half(e kms.EncryptionContext, algorithm string) half {
	return half{cryptIn{grantTokens: r.grantTokens, EncryptionContext: e}, algorithm}
}

func reEncrypt(ctx context.Context, c call, r reEncryptIn) (any, error) {
	from, err := c.source(ctx, "kms:ReEncryptFrom", r.SourceKeyId, r.CiphertextBlob, r.half(r.SourceEncryptionContext, r.SourceEncryptionAlgorithm))
	if err != nil {
		return nil, err
	}
	to, err := c.open(ctx, "kms:ReEncryptTo", r.DestinationKeyId, r.half(r.DestinationEncryptionContext, r.DestinationEncryptionAlgorithm))
	if err != nil {
		return nil, err
	}
	if err := checkAlgorithm(from.Key, r.SourceEncryptionAlgorithm); err != nil {
		return nil, err
	}
	if err := checkAlgorithm(to.Key, r.DestinationEncryptionAlgorithm); err != nil {
		return nil, err
	}
	if r.DryRun {
		return nil, dryRun
	}
	plain, err := c.opts.Service.Decrypt(from.Key, r.CiphertextBlob, r.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	blob, err := c.opts.Service.Encrypt(to.Key, plain, r.DestinationEncryptionContext)
	return struct {
		CiphertextBlob                                            []byte
		KeyId, SourceKeyId                                        string
		SourceEncryptionAlgorithm, DestinationEncryptionAlgorithm string
		SourceKeyMaterialId, DestinationKeyMaterialId             string
	}{
		blob, to.Key.ARN(), from.Key.ARN(), symmetric, symmetric,
		kms.MaterialOf(from.Key, r.CiphertextBlob), kms.MaterialOf(to.Key, blob),
	}, err
}

type dataKeyIn struct {
	keyIn
	cryptIn
	KeySpec       string
	NumberOfBytes *int
}

// size returns the length of the data key, in bytes.
func (r dataKeyIn) size() (int, error) {
	switch {
	case (r.KeySpec == "") == (r.NumberOfBytes == nil):
		return 0, invalid("Please specify either number of bytes or key spec.")
	case r.NumberOfBytes != nil:
		return *r.NumberOfBytes, nil
	case r.KeySpec == "AES_256":
		return 32, nil
	case r.KeySpec == "AES_128":
		return 16, nil
	}
	return 0, invalid("1 validation error detected: Value '" + shorten(r.KeySpec) + "' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]")
}

type dataKeyOut struct {
	CiphertextBlob []byte
	Plaintext      []byte `json:",omitempty"`
	KeyId          string
	KeyMaterialId  string
}

func generateDataKey(_ context.Context, c call, a kms.Access, r dataKeyIn) (any, error) {
	n, err := r.size()
	if err != nil {
		return nil, err
	}
	plain, blob, err := c.opts.Service.GenerateDataKey(a.Key, n, r.EncryptionContext)
	return dataKeyOut{blob, plain, a.Key.ARN(), kms.MaterialOf(a.Key, blob)}, err
}

func generateDataKeyWithoutPlaintext(_ context.Context, c call, a kms.Access, r dataKeyIn) (any, error) {
	n, err := r.size()
	if err != nil {
		return nil, err
	}
	_, blob, err := c.opts.Service.GenerateDataKey(a.Key, n, r.EncryptionContext)
	return dataKeyOut{CiphertextBlob: blob, KeyId: a.Key.ARN(), KeyMaterialId: kms.MaterialOf(a.Key, blob)}, err
}

func generateRandom(ctx context.Context, c call, r struct{ NumberOfBytes *int }) (any, error) {
	if err := c.who.May(ctx, "kms:GenerateRandom", "*", nil); err != nil {
		return nil, err
	}
	if r.NumberOfBytes == nil {
		return nil, required("numberOfBytes")
	}
	random, err := c.opts.Service.Random(*r.NumberOfBytes)
	return struct{ Plaintext []byte }{random}, err
}
