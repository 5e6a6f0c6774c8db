// Package kmsapi is the edge of KMS: JSON 1.1 over package kms.
//
// A request comes from the front chain with its body and its principal. The
// dispatcher (edge.go, dispatch.go) finds the action by X-Amz-Target, decodes the
// body, opens the key that it is about (which authorises), calls the domain and
// writes the response. actions.go has the table of actions that are built,
// unsupported.go those that AWS has and this service does not, errors.go the error
// codes.
package kmsapi
