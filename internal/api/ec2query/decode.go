package ec2query

import (
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Decode fills the struct that into points to from form. Fields without a
// parameter keep what they hold. See the package comment for the rules.
func Decode(form url.Values, into any) error {
	tree, err := grow(form)
	if err != nil {
		return err
	}
	return decodeStruct(tree, reflect.ValueOf(into).Elem())
}

// decodeStruct consumes n's children; one that no field takes is an error.
func decodeStruct(n *node, into reflect.Value) error {
	if err := decodeFields(n, into); err != nil {
		return err
	}
	if name, found := n.leftover(n.name == ""); found {
		return &UnknownParameterError{name}
	}
	return nil
}

func decodeFields(n *node, into reflect.Value) error {
	for i := range into.NumField() {
		field := into.Type().Field(i)
		if field.Anonymous {
			if err := decodeFields(n, into.Field(i)); err != nil {
				return err
			}
			continue
		}
		spellings, keepEmpty := names(field)
		for _, spelling := range spellings {
			child := n.take(spelling)
			if child == nil {
				continue
			}
			if err := decodeValue(child, into.Field(i), keepEmpty); err != nil {
				return err
			}
		}
	}
	return nil
}

// names reads the tag of a field: `ec2:"Name|Other,empty"`.
func names(field reflect.StructField) (spellings []string, keepEmpty bool) {
	text, option, _ := strings.Cut(field.Tag.Get("ec2"), ",")
	if text == "" {
		text = field.Name
	}
	return strings.Split(text, "|"), option == "empty"
}

func decodeValue(n *node, into reflect.Value, keepEmpty bool) error {
	switch {
	case into.Kind() == reflect.Slice:
		return decodeList(n, into, keepEmpty)
	case into.Kind() == reflect.Pointer:
		fresh := reflect.New(into.Type().Elem())
		if err := decodeValue(n, fresh.Elem(), keepEmpty); err != nil {
			return err
		}
		if given(n, fresh.Elem(), keepEmpty) {
			into.Set(fresh)
		}
		return nil
	case into.Kind() == reflect.Struct && into.Type() != timeType:
		return decodeStruct(n, into)
	}
	return decodeScalar(n, into)
}

// given reports whether a pointer field is to be set: to a value that is not empty,
// or to a structure with a field that is set.
func given(n *node, v reflect.Value, keepEmpty bool) bool {
	if v.Kind() == reflect.Struct && v.Type() != timeType {
		return !v.IsZero()
	}
	return n.value != nil && (*n.value != "" || keepEmpty)
}

// decodeList appends, so that two spellings of one list add up.
func decodeList(n *node, into reflect.Value, keepEmpty bool) error {
	items, err := n.items()
	if err != nil {
		return err
	}
	for _, item := range items {
		v := reflect.New(into.Type().Elem()).Elem()
		if err := decodeValue(item, v, keepEmpty); err != nil {
			return err
		}
		empty := item.value != nil && *item.value == ""
		if empty && len(item.children) == 0 && !keepEmpty {
			continue
		}
		into.Set(reflect.Append(into, v))
	}
	if name, found := n.leftover(false); found {
		return &UnknownParameterError{name}
	}
	return nil
}

var timeType = reflect.TypeFor[time.Time]()

// decodeScalar reads one value. An empty value counts as absent for every type.
func decodeScalar(n *node, into reflect.Value) error {
	text := n.value
	n.value = nil // consumed: whatever remains below it is unknown
	if name, found := n.leftover(false); found {
		return &UnknownParameterError{name}
	}
	n.value = text
	if text == nil || *text == "" {
		return nil
	}
	want, ok := setScalar(into, *text)
	if !ok {
		return &ValueError{Name: n.name, Value: *text, Want: want}
	}
	return nil
}

func setScalar(into reflect.Value, text string) (want string, ok bool) {
	if into.Type() == timeType {
		t, err := time.Parse(time.RFC3339, text) // takes any fraction
		into.Set(reflect.ValueOf(t.UTC()))
		return "an ISO 8601 timestamp", err == nil
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(text)
		return "", true
	case reflect.Bool:
		b, ok := parseBool(text)
		into.SetBool(b)
		return "true or false", ok
	case reflect.Int, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, into.Type().Bits())
		into.SetInt(i)
		return "an integer", err == nil
	case reflect.Float64:
		f, ok := parseFloat(text)
		into.SetFloat(f)
		return "a number", ok
	}
	panic("ec2query: a request field of type " + into.Type().String())
}

func parseBool(text string) (value, ok bool) {
	switch {
	case text == "1", strings.EqualFold(text, "true"):
		return true, true
	case text == "0", strings.EqualFold(text, "false"):
		return false, true
	}
	return false, false
}

// parseFloat takes decimal and exponent forms, NaN and the infinities, but not
// Go's own hexadecimal and underscored ones.
func parseFloat(text string) (float64, bool) {
	if strings.ContainsAny(text, "xXpP_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}
