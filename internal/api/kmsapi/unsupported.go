package kmsapi

import "strings"

// What the service has at AWS and this one does not: asked for, it answers
// UnsupportedOperationException. A test holds the list against the AWS SDK.
const unsupported = `
ConnectCustomKeyStore CreateCustomKeyStore Decapsulate DeleteCustomKeyStore
DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores DisableKeyRotation
DisconnectCustomKeyStore EnableKeyRotation Encapsulate GenerateDataKeyPair
GenerateDataKeyPairWithoutPlaintext GenerateMac GetKeyLastUsage GetParametersForImport GetPublicKey
ImportKeyMaterial ListKeyRotations ListRetirableGrants ReplicateKey RotateKeyOnDemand Sign
UpdateCustomKeyStore UpdatePrimaryRegion Verify VerifyMac
`

func isUnsupported(name string) bool {
	for known := range strings.FieldsSeq(unsupported) {
		if known == name {
			return true
		}
	}
	return false
}
