package kms

// State is where a key is in its life, in AWS's words.
type State string

// The states.
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
	PendingImport   State = "PendingImport"
)

// Event is what happens to a key.
type Event string

// The events.
const (
	Enable   Event = "enable"
	Disable  Event = "disable"
	Schedule Event = "schedule deletion"
	Cancel   Event = "cancel deletion"
)

// transitions says where an event leads. What is not here is refused.
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

// stateError says why k can't be used or changed; nil when it is enabled.
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

// alive refuses what AWS refuses for a key that is about to be deleted.
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
