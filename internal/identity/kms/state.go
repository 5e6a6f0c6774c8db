package kms

// State is the state of a key, in AWS's words.
type State string

// The states.
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
	PendingImport   State = "PendingImport"
)

// Event is a change that is requested of a key's state.
type Event string

// The events.
const (
	Enable   Event = "enable"
	Disable  Event = "disable"
	Schedule Event = "schedule deletion"
	Cancel   Event = "cancel deletion"
)

// transitions maps state and event to the next state. An event that is missing is
// refused.
var transitions = map[State]map[Event]State{
	Enabled:         {Enable: Enabled, Disable: Disabled, Schedule: PendingDeletion},
	Disabled:        {Enable: Enabled, Disable: Disabled, Schedule: PendingDeletion},
	PendingDeletion: {Cancel: Disabled},
	PendingImport:   {Schedule: PendingDeletion},
}

// after returns the state of k after an event.
func (k Key) after(e Event) (State, error) {
	to, ok := transitions[k.State][e]
	switch {
	case !ok && e == Cancel:
		return k.State, failed(ErrState, "%s is not pending deletion.", k.ARN())
	case !ok:
		return k.State, k.stateError()
	case e == Cancel && k.Origin == External && k.Wrapped == nil:
		return PendingImport, nil
	}
	return to, nil
}

// stateError returns why k can't be used or changed, or nil if it is enabled.
func (k Key) stateError() error {
	switch k.State {
	case Enabled:
		return nil
	case Disabled:
		return failed(ErrDisabled, "%s is disabled.", k.ARN())
	case PendingDeletion:
		return failed(ErrState, "%s is pending deletion.", k.ARN())
	}
	return failed(ErrState, "%s is pending import.", k.ARN())
}

// alive fails for a key that is pending deletion, as AWS does.
func (k Key) alive() error {
	if k.State == PendingDeletion {
		return k.stateError()
	}
	return nil
}

// Usable returns nil if k can encrypt and decrypt now.
func (k Key) Usable() error {
	if err := k.stateError(); err != nil {
		return err
	}
	if k.Spec != Symmetric || k.Usage != EncryptDecrypt {
		return failed(ErrUsage, "%s key usage is %s and key spec is %s, which is not valid for this operation.", k.ARN(), k.Usage, k.Spec)
	}
	return nil
}
