package kms

import (
	"maps"
	"slices"
	"strings"
)

// Spec is the kind of a key's material, in AWS's words.
type Spec string

// Usage is what a key is for, in AWS's words.
type Usage string

// The spec and the usage that the service itself can work with.
const (
	Symmetric      Spec  = "SYMMETRIC_DEFAULT"
	EncryptDecrypt Usage = "ENCRYPT_DECRYPT"
)

const (
	signVerify Usage = "SIGN_VERIFY"
	verifyMAC  Usage = "GENERATE_VERIFY_MAC"
	agreement  Usage = "KEY_AGREEMENT"
)

// algorithms lists the algorithms of a key by usage, as DescribeKey shows them.
type algorithms map[Usage][]string

var (
	rsa = algorithms{
		EncryptDecrypt: {"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"},
		signVerify: {
			"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
			"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
		},
	}
	agree = []string{"ECDH"}
)

var specs = map[Spec]algorithms{
	Symmetric:         {EncryptDecrypt: {"SYMMETRIC_DEFAULT"}},
	"RSA_2048":        rsa,
	"RSA_3072":        rsa,
	"RSA_4096":        rsa,
	"ECC_NIST_P256":   {signVerify: {"ECDSA_SHA_256"}, agreement: agree},
	"ECC_NIST_P384":   {signVerify: {"ECDSA_SHA_384"}, agreement: agree},
	"ECC_NIST_P521":   {signVerify: {"ECDSA_SHA_512"}, agreement: agree},
	"ECC_SECG_P256K1": {signVerify: {"ECDSA_SHA_256"}},
	"HMAC_224":        {verifyMAC: {"HMAC_SHA_224"}},
	"HMAC_256":        {verifyMAC: {"HMAC_SHA_256"}},
	"HMAC_384":        {verifyMAC: {"HMAC_SHA_384"}},
	"HMAC_512":        {verifyMAC: {"HMAC_SHA_512"}},
}

// absent are the specs that AWS has and this service does not.
var absent = []Spec{"SM2", "ECC_NIST_EDWARDS25519", "ML_DSA_44", "ML_DSA_65", "ML_DSA_87", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"}

// allSpecs is AWS's list of specs, as its refusals name them.
func allSpecs() string {
	all := slices.Concat(absent, slices.Collect(maps.Keys(specs)))
	slices.Sort(all)
	var names []string
	for _, s := range all {
		names = append(names, string(s))
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// Algorithms returns the algorithms of a key of the spec for a usage.
func (s Spec) Algorithms(u Usage) []string { return slices.Clone(specs[s][u]) }

// checkSpec fills in defaults and refuses specs and usages that do not go together.
func checkSpec(s Spec, u Usage) (Spec, Usage, error) {
	if s == "" {
		s = Symmetric
	}
	able, ok := specs[s]
	switch {
	case !ok && slices.Contains(absent, s):
		return s, u, failed(ErrUnsupported, "KeySpec %.64s is not supported.", s)
	case !ok:
		return s, u, failed(ErrValidation, "1 validation error detected: Value '%.256s' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: %s", s, allSpecs())
	case u == "" && s == Symmetric:
		u = EncryptDecrypt
	case u == "":
		return s, u, failed(ErrValidation, "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.")
	case able[u] == nil:
		return s, u, failed(ErrValidation, "KeyUsage %.64s is not compatible with KeySpec %s", u, s)
	}
	return s, u, nil
}
