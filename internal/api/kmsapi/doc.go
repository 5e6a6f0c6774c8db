// Package kmsapi is the edge of KMS: JSON 1.1 over package kms.
//
// A request comes from the front chain with its body and its principal. The
// dispatcher (edge.go, dispatch.go) finds the action by X-Amz-Target, decodes
// the body, opens the key that it is about (which authorises), calls the domain
// and writes the answer. actions.go has the table of what is served,
// unsupported.go of what AWS has and this service does not, errors.go of codes.
package kmsapi
