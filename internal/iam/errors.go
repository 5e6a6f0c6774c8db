package iam

import "errors"

// What can go wrong with credentials. Match with errors.Is.
var (
	// ErrUnknownKey: nobody has the access key, or it and the session token
	// do not belong together.
	ErrUnknownKey = errors.New("unknown access key")
	// ErrExpiredToken: the session token was valid once.
	ErrExpiredToken = errors.New("expired session token")
)
