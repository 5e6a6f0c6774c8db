package ec2api

import (
	"context"
	"time"

	"github.com/diskport/diskport/internal/api/ec2query"
	"github.com/diskport/diskport/internal/image"
)

type deprecateImageRequest struct {
	imageRequest
	DeprecateAt *time.Time
}

var deprecateImageRules = append(
	oneImageRules[deprecateImageRequest](),
	rule[deprecateImageRequest]{
		field: "DeprecateAt", code: "MissingParameter", message: "The request must contain the parameter DeprecateAt",
		broken: func(_ call, r deprecateImageRequest) (string, bool) { return "", r.DeprecateAt == nil },
	},
	rule[deprecateImageRequest]{
		field: "DeprecateAt", code: "InvalidParameterValue", message: "Value (%s) for parameter deprecateAt is invalid. It must be in the future, and not more than ten years ahead.",
		broken: func(c call, r deprecateImageRequest) (string, bool) {
			now := c.Now()
			return timeText(ec2query.Time(*r.DeprecateAt)), r.DeprecateAt.Before(now) || r.DeprecateAt.After(now.AddDate(10, 0, 0))
		},
	},
)

// deprecateImage rounds to minutes, as AWS does.
func deprecateImage(ctx context.Context, c call, r deprecateImageRequest) (any, error) {
	return c.deprecate(ctx, r.ImageId, r.DeprecateAt.Round(time.Minute))
}

type undeprecateImageRequest struct{ imageRequest }

func undeprecateImage(ctx context.Context, c call, r undeprecateImageRequest) (any, error) {
	return c.deprecate(ctx, r.ImageId, time.Time{})
}

func (c call) deprecate(ctx context.Context, id string, at time.Time) (any, error) {
	if _, err := c.ownImage(ctx, id); err != nil {
		return nil, err
	}
	if err := c.ImageChanges.Deprecate(ctx, c.Home(), id, at); err != nil {
		return nil, about(id, err)
	}
	return ec2query.Done{Return: true}, nil
}

type protectImageRequest struct {
	imageRequest
	WithCooldown bool
}

// protectionAnswer says in words what the protection is now.
type protectionAnswer struct {
	Return string `xml:"return"`
}

func protectImage(ctx context.Context, c call, r protectImageRequest) (any, error) {
	if r.WithCooldown {
		return c.protect(ctx, r.ImageId, image.Cooldown)
	}
	return c.protect(ctx, r.ImageId, image.Protected)
}

type unprotectImageRequest struct{ imageRequest }

func unprotectImage(ctx context.Context, c call, r unprotectImageRequest) (any, error) {
	return c.protect(ctx, r.ImageId, image.Unprotected)
}

func (c call) protect(ctx context.Context, id string, p image.Protection) (any, error) {
	if _, err := c.ownImage(ctx, id); err != nil {
		return nil, err
	}
	i, err := c.ImageChanges.Protect(ctx, c.Home(), id, p)
	if err != nil {
		return nil, about(id, err)
	}
	return protectionAnswer{c.showProtection(i)}, nil
}

// showProtection returns AWS's words for the protection of an image.
func (c call) showProtection(i image.Image) string {
	switch {
	case i.Protection != image.Unprotected:
		return string(i.Protection)
	case i.ProtectedUntil.After(c.Now()):
		return "disabled after " + timeText(ec2query.Time(i.ProtectedUntil))
	}
	return "disabled"
}
