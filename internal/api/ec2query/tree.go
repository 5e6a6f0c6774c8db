package ec2query

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Caps on one request. The largest honest ones are describes with a thousand
// ids and creates with a few thousand tag values.
const (
	maxParams = 8192
	maxDepth  = 8
	maxName   = 256     // bytes
	maxValue  = 1 << 16 // bytes
)

// node is one dotted name and everything below it.
type node struct {
	name     string // full name so far
	value    *string
	children map[string]*node
}

// grow sorts the form into a tree, without the parameters that belong to the
// request and not to the action.
func grow(form url.Values) (*node, error) {
	if len(form) > maxParams {
		return nil, &LimitError{fmt.Sprintf("The request has more than %d parameters", maxParams)}
	}
	root := &node{}
	for name, values := range form {
		if reserved(name) {
			continue
		}
		if err := root.add(name, values); err != nil {
			return nil, err
		}
	}
	return root, nil
}

// reserved reports the names that every action accepts and none declares.
func reserved(name string) bool {
	switch name {
	case "Action", "Version", "AWSAccessKeyId", "Timestamp", "Expires", "SecurityToken":
		return true
	}
	return strings.HasPrefix(name, "Signature") || len(name) >= 6 && strings.EqualFold(name[:6], "X-Amz-")
}

func (n *node) add(name string, values []string) error {
	parts := strings.Split(name, ".")
	switch {
	case len(name) > maxName || len(parts) > maxDepth:
		return &UnknownParameterError{name}
	case len(values) != 1:
		return &LimitError{fmt.Sprintf("The parameter %s is given more than once", name)}
	case len(values[0]) > maxValue:
		return &LimitError{fmt.Sprintf("The parameter %s is longer than %d bytes", name, maxValue)}
	}
	at := n
	for i, part := range parts {
		child := at.children[part]
		if child == nil {
			child = &node{name: strings.Join(parts[:i+1], ".")}
			if at.children == nil {
				at.children = map[string]*node{}
			}
			at.children[part] = child
		}
		at = child
	}
	at.value = &values[0]
	return nil
}

// take removes and returns the node that a spelling names, or nil.
func (n *node) take(spelling string) *node {
	first, rest, more := strings.Cut(spelling, ".")
	child := n.children[first]
	if child == nil {
		return nil
	}
	if more {
		return child.take(rest)
	}
	delete(n.children, first)
	return child
}

// items removes and returns the numbered children in the order of their
// numbers. Gaps and leading zeros are fine.
func (n *node) items() ([]*node, error) {
	byIndex := map[uint64]*node{}
	for part, child := range n.children {
		index, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			continue // left over, so unknown
		}
		if byIndex[index] != nil {
			return nil, &LimitError{fmt.Sprintf("The parameter %s is given more than once", child.name)}
		}
		byIndex[index] = child
		delete(n.children, part)
	}
	var list []*node
	for _, index := range slices.Sorted(maps.Keys(byIndex)) {
		list = append(list, byIndex[index])
	}
	return list, nil
}

// leftover returns the first name, in order, that no field took. An empty value in
// the place of a structure means nothing, so it does not count.
func (n *node) leftover(top bool) (string, bool) {
	if !top && n.value != nil && *n.value != "" {
		return n.name, true
	}
	for _, part := range slices.Sorted(maps.Keys(n.children)) {
		child := n.children[part]
		if len(child.children) == 0 && child.value != nil {
			return child.name, true
		}
		if name, found := child.leftover(false); found {
			return name, true
		}
	}
	return "", false
}
