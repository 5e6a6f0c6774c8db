package cluster

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// verb says what a call asks of one snapshot, or of one task.
type verb string

const (
	create verb = "create" // it comes to be: from when it was asked for until someone knew of it
	look   verb = "look"   // is it there, and how far is it?
	remove verb = "remove"
	stop   verb = "stop" // cancel a task

	share   verb = "share" // with the guest
	unshare verb = "unshare"
	shares  verb = "shares" // is it shared?
	visit   verb = "visit"  // the guest asks for it
)

// answer is what a call was told.
type answer string

const (
	unknown answer = "?" // nothing, or an error of the service: it may have happened, or happen later
	ok      answer = "ok"
	absent  answer = "absent"
	refused answer = "refused"

	pending   answer = "pending" // of a snapshot
	completed answer = "completed"
	active    answer = "active" // of a task, with the next two
	deleting  answer = "deleting"
	deleted   answer = "deleted"

	yes answer = "yes"
	no  answer = "no"
)

// never is when a call returns that was not answered.
const never = math.MaxInt64 / 2

// asked is the input of a call.
type asked struct {
	of string // id of the snapshot or task
	verb
}

// life is what the model knows of a snapshot or a task.
type life struct {
	stage  answer // absent before it was made and after it was deleted, else as it is told
	gone   bool   // it was deleted
	shared bool
}

// stepSnapshot is the life of a snapshot: it is made once, completed by itself, and deleted
// once.
func stepSnapshot(state, input, output any) (bool, any) {
	s, in, out := state.(life), input.(asked), output.(answer)
	there := s.stage != absent
	switch out {
	case absent:
		return !there, s
	case refused:
		return true, s // which is a complaint of its own
	}
	switch in.verb {
	case create:
		return !there && !s.gone, life{stage: pending}
	case look:
		if out == completed && there {
			s.stage = completed
		}
		return s.stage == out, s
	case remove:
		if out == unknown && !there {
			return true, s // nor will it come to be
		}
		return there, life{stage: absent, gone: true}
	case share, unshare:
		if there {
			s.shared = in.verb == share
		}
		return there || out == unknown, s
	case shares:
		return there && s.shared == (out == yes), s
	case visit:
		return (there && s.shared) == (out == yes), s
	}
	return false, s
}

// stepTask is the life of a task. Only one that someone wanted to stop may end without a
// snapshot; one whose stop was answered always does.
func stepTask(state, input, output any) (bool, any) {
	s, in, out := state.(life), input.(asked), output.(answer)
	if out == absent {
		return s.stage == absent, s
	}
	if in.verb == create {
		return s.stage == absent, life{stage: active}
	}
	switch {
	case in.verb == stop && out == ok:
		return s.stage == active || s.stage == deleting, life{stage: deleting}
	case in.verb == stop && out == refused:
		if s.stage == active { // it ends by itself just then
			s.stage = completed
		}
		return s.stage == deleting || s.stage == completed || s.stage == deleted, s
	case in.verb == stop: // unknown
		if s.stage == active {
			s.stage = deleting
		}
		return true, s
	case out == deleted && s.stage == deleting, out == completed && s.stage == active:
		s.stage = out
	}
	return s.stage == out, s
}

// checkHistory returns what is wrong with a history: objects whose calls no order explains in which
// each call takes effect at one moment between its beginning and its end.
func checkHistory(what string, step func(state, input, output any) (bool, any), history []porcupine.Operation) (wrong []string) {
	of := map[string][]porcupine.Operation{}
	for _, op := range history {
		id := op.Input.(asked).of
		of[id] = append(of[id], op)
	}
	model := porcupine.Model{Init: func() any { return life{stage: absent} }, Step: step}
	for id, ops := range of {
		switch porcupine.CheckOperationsTimeout(model, ops, time.Minute) {
		case porcupine.Ok:
		case porcupine.Illegal:
			wrong = append(wrong, fmt.Sprintf("no order explains the answers about %s %s:\n%s", what, id, describe(ops)))
		case porcupine.Unknown:
			wrong = append(wrong, fmt.Sprintf("it was not found out whether an order explains the answers about %s %s:\n%s", what, id, describe(ops)))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// describe shows a history. Of the same answer many times in a row it shows the first and the last.
func describe(ops []porcupine.Operation) string {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	same := func(a, b porcupine.Operation) bool { return a.Input == b.Input && a.Output == b.Output }
	var text strings.Builder
	for i, op := range ops {
		if i > 0 && i+1 < len(ops) && same(ops[i-1], op) && same(op, ops[i+1]) {
			continue
		}
		end := "never"
		if op.Return < never {
			end = fmt.Sprintf("%.3f", float64(op.Return)/1e9)
		}
		fmt.Fprintf(&text, "  %8.3f to %8s s  client %d  %-8s %s\n", float64(op.Call)/1e9, end, op.ClientId, op.Input.(asked).verb, op.Output)
	}
	return text.String()
}

// did makes one call of a history.
func did(v verb, out answer, from, to int64) porcupine.Operation {
	return porcupine.Operation{Input: asked{"it", v}, Output: out, Call: from, Return: to}
}

// TestModel has the checker find what it is for.
func TestModel(t *testing.T) {
	made, done := did(create, ok, 10, 20), did(look, completed, 30, 40)
	for name, c := range map[string]struct {
		step    func(state, input, output any) (bool, any)
		history []porcupine.Operation
		want    bool
	}{
		"made, found and deleted": {stepSnapshot, []porcupine.Operation{did(look, absent, 1, 2), made, did(look, pending, 22, 25), done, did(remove, ok, 50, 60), did(look, absent, 70, 80)}, true},
		"found before the answer": {stepSnapshot, []porcupine.Operation{made, did(look, pending, 12, 15)}, true},
		"lost":                    {stepSnapshot, []porcupine.Operation{made, done, did(look, absent, 50, 60)}, false},
		"lost at once":            {stepSnapshot, []porcupine.Operation{made, did(look, absent, 21, 30)}, false},
		"resurrected":             {stepSnapshot, []porcupine.Operation{made, did(remove, ok, 30, 40), did(look, completed, 41, 50)}, false},
		"resurrected after a deletion without answer": {stepSnapshot, []porcupine.Operation{made, did(remove, unknown, 30, never), did(look, absent, 50, 60), did(look, completed, 70, 80)}, false},
		"deletion without answer, later":              {stepSnapshot, []porcupine.Operation{made, did(remove, unknown, 30, never), done, did(look, completed, 50, 60), did(look, absent, 70, 80)}, true},
		"pending again":                               {stepSnapshot, []porcupine.Operation{made, done, did(look, pending, 50, 60)}, false},
		"stale share":                                 {stepSnapshot, []porcupine.Operation{made, did(share, ok, 30, 40), did(unshare, ok, 50, 60), did(visit, yes, 70, 80)}, false},
		"share not seen":                              {stepSnapshot, []porcupine.Operation{made, did(share, ok, 30, 40), did(visit, no, 50, 60)}, false},
		"share without answer":                        {stepSnapshot, []porcupine.Operation{made, did(share, unknown, 30, never), did(shares, no, 50, 60), did(shares, yes, 70, 80)}, true},
		"task that completes":                         {stepTask, []porcupine.Operation{made, did(look, active, 30, 40), did(look, completed, 50, 60)}, true},
		"task that fails for no reason":               {stepTask, []porcupine.Operation{made, did(look, deleted, 50, 60)}, false},
		"task that goes back":                         {stepTask, []porcupine.Operation{made, did(look, completed, 50, 60), did(look, active, 70, 80)}, false},
		"task that completes although it was stopped": {stepTask, []porcupine.Operation{made, did(stop, ok, 30, 40), did(look, completed, 50, 60)}, false},
		"task that perhaps was stopped":               {stepTask, []porcupine.Operation{made, did(stop, unknown, 30, never), did(look, completed, 50, 60)}, true},
		"task that is gone":                           {stepTask, []porcupine.Operation{made, did(look, absent, 50, 60)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if wrong := checkHistory("object", c.step, c.history); len(wrong) == 0 != c.want {
				t.Errorf("explained: %v, want %v\n%s", !c.want, c.want, strings.Join(wrong, "\n"))
			}
		})
	}
}
