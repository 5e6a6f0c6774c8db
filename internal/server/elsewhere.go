package server

import "github.com/diskport/diskport/internal/imports/source"

// foreignEndpoint is where the configured S3 is, if there is one.
func (p *parts) foreignEndpoint() source.Endpoint {
	if p.sources.Foreign == nil {
		return source.Endpoint{}
	}
	return p.sources.Foreign.Endpoint()
}
