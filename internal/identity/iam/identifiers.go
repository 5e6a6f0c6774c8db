package iam

import (
	"context"
	"regexp"
	"strings"

	"github.com/diskport/diskport/internal/identity/policy"
)

// Entity is a user or a role, found by its unique id.
type Entity struct {
	Owner
	Path string
	ID   string // AIDA… or AROA…
}

// Policies are written with ARNs and stored with unique ids, as at AWS. So somebody
// who gets the name of a user or role that was deleted or renamed gets none of its
// rights. The id of a session consists of the role's id and the session's name.
var (
	uniqueForm  = regexp.MustCompile(`^(AIDA|AROA)[A-Z0-9]{1,124}(:[A-Za-z0-9_+=,.@-]{2,64})?$`)
	sessionForm = regexp.MustCompile(`^arn:([a-z-]+):sts::([0-9]{12}):assumed-role/([^/]+)/([^/]+)$`)
	rootForm    = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:root$`)
)

// BindPrincipals returns a policy as it is to be stored: with unique ids in place
// of the ARNs of users, roles and sessions. As at AWS, a policy that names a
// principal that does not exist is refused (*policy.SyntaxError).
func (s *Service) BindPrincipals(ctx context.Context, document string) (string, error) {
	return policy.MapPrincipals(document, func(name string) (string, error) {
		id, err := s.PrincipalID(ctx, name)
		if err == nil && id == "" {
			err = policy.InvalidPrincipal("AWS", name)
		}
		return id, err
	})
}

// ShowPrincipals is the inverse of BindPrincipals: it puts in the current ARNs of
// users, roles and sessions. The ids of those that are gone stay.
func (s *Service) ShowPrincipals(ctx context.Context, document string) (string, error) {
	if !strings.Contains(document, "AIDA") && !strings.Contains(document, "AROA") {
		return document, nil
	}
	return policy.MapPrincipals(document, func(id string) (string, error) { return s.PrincipalARN(ctx, id) })
}

// PrincipalID returns the unique id behind the ARN of a user, a role or a session,
// or "" if there is none. Accounts, "*", federated users, and the unique ids of
// existing principals are returned as they are.
func (s *Service) PrincipalID(ctx context.Context, name string) (string, error) {
	switch {
	case name == "*", accountForm.MatchString(name), rootForm.MatchString(name):
		return name, nil
	case uniqueForm.MatchString(name):
		id, _, _ := strings.Cut(name, ":")
		found, err := s.opts.Store.Entities(ctx, id)
		if err != nil || len(found) == 0 {
			return "", err
		}
		return name, nil
	}
	if m := federatedForm.FindStringSubmatch(name); m != nil && m[1] == s.opts.Partition {
		return name, nil // whom only the account knows: there is no id but the name
	}
	if m := sessionForm.FindStringSubmatch(name); m != nil && m[1] == s.opts.Partition && sessionNameForm.MatchString(m[4]) {
		id, err := s.roleID(ctx, m[2], "", m[3])
		if err != nil || id == "" {
			return "", err
		}
		return id + ":" + m[4], nil
	}
	if account, path, role, ok := s.splitARN(name, KindRole); ok {
		return s.roleID(ctx, account, path, role)
	}
	account, path, user, ok := s.splitARN(name, KindUser)
	if !ok || checkUser(user) != nil {
		return "", nil
	}
	found, err := s.opts.Store.Users(ctx, account, user)
	if err != nil || len(found) == 0 || found[0].Path != path {
		return "", err
	}
	return found[0].ID, nil
}

// roleID returns the id of a role, or "". Without a path, the role may have any.
func (s *Service) roleID(ctx context.Context, account, path, name string) (string, error) {
	if checkRole(name) != nil {
		return "", nil
	}
	found, err := s.opts.Store.Roles(ctx, account, name)
	if err != nil || len(found) == 0 || path != "" && found[0].Path != path {
		return "", err
	}
	return found[0].ID, nil
}

// PrincipalARN is the inverse of PrincipalID: it returns the current ARN of the
// principal with a unique id. Anything else, and the id of a principal that is
// gone, is returned as it is.
func (s *Service) PrincipalARN(ctx context.Context, id string) (string, error) {
	if !uniqueForm.MatchString(id) {
		return id, nil
	}
	entity, session, _ := strings.Cut(id, ":")
	found, err := s.opts.Store.Entities(ctx, entity)
	if err != nil || len(found) == 0 {
		return id, err
	}
	if session != "" {
		return s.sessionARN(Role{Account: found[0].Account, Name: found[0].Name}, session), nil
	}
	return s.EntityARN(found[0].Account, found[0].Kind, found[0].Path, found[0].Name), nil
}
