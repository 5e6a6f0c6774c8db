package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/diskport/diskport/internal/client"
)

// regionFlags say in which regions to look.
type regionFlags struct {
	AllRegions bool
}

func (f *regionFlags) declare(fs *pflag.FlagSet) {
	fs.BoolVar(&f.AllRegions, "all-regions", false, "Look in all regions that the service plays, not in one.")
}

// clients returns a client for each region to look in.
func (f regionFlags) clients(ctx context.Context, s *session) ([]*client.Client, error) {
	if !f.AllRegions {
		return []*client.Client{s.Client}, nil
	}
	regions, err := s.Regions(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]*client.Client, len(regions))
	for i, region := range regions {
		list[i] = s.In(region)
	}
	return list, nil
}

// everywhere returns what list returns for each region to look in.
func everywhere[T any](ctx context.Context, f regionFlags, s *session, list func(*client.Client) ([]T, error)) ([]T, error) {
	clients, err := f.clients(ctx, s)
	if err != nil {
		return nil, err
	}
	all := []T{} // which --json prints as a list
	for _, c := range clients {
		some, err := list(c)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}
