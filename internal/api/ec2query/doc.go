// Package ec2query is the codec of the EC2 Query protocol: form parameters to
// request structs, and response structs to XML. It knows no actions; the edge that
// serves them (ec2api) declares the structs.
//
// # Requests
//
// Decode fills a struct from flattened names:
//
//	Description=d                      Description string
//	DiskContainer.UserBucket.S3Key=k   nested structs, or pointers to them
//	ImportTaskId.1=a&ImportTaskId.2=b  a slice, sorted by its numbers
//	Filter.1.Value.2=x                 a slice of structs with a slice
//
// The name of a field is its Go name, or what its `ec2` tag says. The tag may
// list spellings, and may end in ",empty" to keep an empty value, which
// otherwise counts as absent:
//
//	Filters []Filter `ec2:"Filter|Filters"`
//	Value   *string  `ec2:"Value,empty"`
//
// A spelling may hold dots, so that "Tags.member" reads the lists of the Query
// protocol of IAM and STS. Fields may be string, bool, int, int32, int64,
// float64 or time.Time, pointers to these (nil is absent), structs, pointers to
// structs, and slices of strings, numbers and structs. Embedded structs count
// as their fields.
//
// Every parameter must have a field, except for those that every request carries
// (Action, Version, and what authenticates it). Errors are *UnknownParameterError,
// *ValueError or *LimitError, and may be shown to the client.
//
// # Responses
//
// Encode writes structs with `xml` tags. A List is always present, empty or not; an
// element that may be absent is a pointer or has omitempty. Time and Double write
// as EC2 writes them.
package ec2query
