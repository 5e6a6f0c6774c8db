// Package kms is the embedded key management service: keys with their states,
// aliases, key policies and grants, and encryption with symmetric keys.
//
// Its place in the flow: the edge (kmsapi) and the keyring pass the caller and the
// key identifier of a request to Service.Open, which finds the key and decides by
// key policy, identity policies and grants; the key then goes to the operation.
// Everything is read from the Store at each call and nothing is cached, so a key
// that was disabled a moment ago is disabled.
//
// Key material is generated here, is wrapped under the service's master key before
// it is stored, and never leaves. Keys that nothing here can use (RSA, ECC, HMAC)
// exist in name only: they have no material.
//
// # Ciphertext, version 1
//
// Integers are big-endian.
//
//	 0   4  magic "DPKC"
//	 4   1  version, 1
//	 5   4  version of the key's material, from 1: it grows with each rotation
//	 9      account, region, key id: each 1 byte of length and as many bytes
//	...     AES-256-GCM under the key's material (see secret.MasterKey)
//
// The associated data is the header and the encryption context, so neither can
// be changed. The header is in the clear because Decrypt is called without a key.
package kms
