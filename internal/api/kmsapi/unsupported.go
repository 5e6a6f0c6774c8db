package kmsapi

import "strings"

// The actions that the service has at AWS and not here. They are answered with
// UnsupportedOperationException. A test compares the list with the AWS SDK.
const unsupported = `
ConnectCustomKeyStore CreateCustomKeyStore Decapsulate DeleteCustomKeyStore
DeleteImportedKeyMaterial DeriveSharedSecret DescribeCustomKeyStores DisconnectCustomKeyStore
Encapsulate GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext GenerateMac GetKeyLastUsage
GetParametersForImport GetPublicKey ImportKeyMaterial ReplicateKey Sign UpdateCustomKeyStore
UpdatePrimaryRegion Verify VerifyMac
`

func isUnsupported(name string) bool {
	for known := range strings.FieldsSeq(unsupported) {
		if known == name {
			return true
		}
	}
	return false
}
