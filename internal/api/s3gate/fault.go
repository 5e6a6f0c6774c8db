package s3gate

import (
	"errors"
	"net/http"

	"github.com/diskport/diskport/internal/api/awshttp"
)

// refusal is why this edge refuses a request.
type refusal int

const (
	denied      refusal = iota // not allowed by the principal's policies
	notAllowed                 // no operation for the method here
	invalidURI                 // an address that can be read in two ways
	invalidKey                 // a key that no object can have here
	conflicting                // two sub-resources
	malformed                  // body that is not the XML it should be
	tooLarge                   // body above the cap
	unavailable                // the gateway doesn't answer
	notBuilt                   // an operation that S3 has and this service does not
	noACLs                     // an ACL that would give access to others
	noBucket                   // no such bucket
)

// refusals are the faults with which S3 answers.
var refusals = map[refusal]awshttp.Fault{
	denied:      {Status: http.StatusForbidden, Code: "AccessDenied", Message: "Access Denied"},
	notAllowed:  {Status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed", Message: "The specified method is not allowed against this resource."},
	invalidURI:  {Status: http.StatusBadRequest, Code: "InvalidURI", Message: "Couldn't parse the specified URI."},
	invalidKey:  {Status: http.StatusBadRequest, Code: "InvalidArgument", Message: "The key can't be stored here: it is empty, longer than 1024 bytes, reserved, or has . or .. as a segment."},
	conflicting: {Status: http.StatusBadRequest, Code: "InvalidRequest", Message: "Conflicting query string parameters."},
	malformed:   {Status: http.StatusBadRequest, Code: "MalformedXML", Message: "The XML you provided was not well-formed or did not validate against our published schema."},
	tooLarge:    {Status: http.StatusBadRequest, Code: "EntityTooLarge", Message: "Your proposed upload exceeds the maximum allowed size."},
	unavailable: {Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "Please reduce your request rate."},
	notBuilt:    {Status: http.StatusNotImplemented, Code: "NotImplemented", Message: "This service doesn't implement that part of S3."},
	noACLs:      {Status: http.StatusBadRequest, Code: "AccessControlListNotSupported", Message: "The bucket does not allow ACLs"},
	noBucket:    {Status: http.StatusNotFound, Code: "NoSuchBucket", Message: "The specified bucket does not exist"},
}

func (r refusal) Error() string { return refusals[r].Error() }

// fault returns err as a Fault. An error that is neither a refusal nor a Fault is
// internal.
func fault(err error) awshttp.Fault {
	var r refusal
	var f awshttp.Fault
	switch {
	case errors.As(err, &r):
		return refusals[r]
	case errors.As(err, &f):
		return f
	}
	return awshttp.Internal(awshttp.S3)
}
