package ec2query

import "fmt"

// UnknownParameterError reports a parameter that the action does not have.
type UnknownParameterError struct{ Name string }

func (e *UnknownParameterError) Error() string {
	return fmt.Sprintf("The parameter %s is not recognized", short(e.Name))
}

// ValueError reports a parameter whose text is not a value of its type.
type ValueError struct {
	Name  string // full, such as Filter.1.Value.2
	Value string // as sent
	Want  string // such as "an integer"
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("Value (%s) for parameter %s is invalid. It must be %s.", short(e.Value), short(e.Name), e.Want)
}

// LimitError reports a request that is larger than any honest one, or ambiguous.
type LimitError struct{ Reason string }

func (e *LimitError) Error() string { return e.Reason }

// short cuts a text that a client sent, so that it does not fill the answer.
func short(text string) string {
	const most = 128
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
