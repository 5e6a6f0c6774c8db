package server

import "github.com/diskport/diskport/internal/imports/source"

// foreignEndpoint returns where the foreign S3 is; zero if there is none.
func (p *parts) foreignEndpoint() source.Endpoint {
	if p.sources.Foreign == nil {
		return source.Endpoint{}
	}
	return p.sources.Foreign.Endpoint()
}
