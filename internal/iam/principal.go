package iam

// Kind says what sort of principal asks.
type Kind uint8

// The kinds of principal. The zero value may do nothing.
const (
	Anonymous        Kind = iota
	Root                  // an account's own key: everything in that account
	User                  // a user, bound by its policies
	RoleSession           // somebody in a role
	ServicePrincipal      // an AWS service name, such as vmie.amazonaws.com
)

// Principal is who asks, with what decides about them. It is a value, read once
// for one request or one step of a task; do not keep it longer.
type Principal struct {
	Account string // twelve digits
	ARN     string // as GetCallerIdentity and refusals name it
	Kind    Kind
	ID      string // unique: the account id, AIDA… or AROA…:session
	Name    string // of the user or role; empty for root
}
