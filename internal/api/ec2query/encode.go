package ec2query

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ContentType is that of every answer.
const ContentType = "text/xml;charset=UTF-8"

// Encode writes the answer of an action: the fields of out, a struct or a pointer
// to one with `xml` tags, after the request id. The action must be an XML name,
// since it becomes part of an element's name; the version may be any text.
func Encode(action, version, requestID string, out any) ([]byte, error) {
	var answer, doc bytes.Buffer
	start := xml.StartElement{
		Name: xml.Name{Local: action + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: "http://ec2.amazonaws.com/doc/" + version + "/"}},
	}
	if err := xml.NewEncoder(&answer).EncodeElement(out, start); err != nil {
		return nil, fmt.Errorf("encoding the answer of %s: %w", action, err)
	}
	// encoding/xml can't put a field before those of the struct out.
	tag := bytes.IndexByte(answer.Bytes(), '>') + 1 // attributes hold no bare >
	doc.WriteString(xml.Header)
	doc.Write(answer.Next(tag))
	doc.WriteString("<requestId>")
	_ = xml.EscapeText(&doc, []byte(requestID)) // a Buffer never fails
	doc.WriteString("</requestId>")
	doc.Write(answer.Bytes())
	return doc.Bytes(), nil
}

// Done is the answer of actions that return nothing.
type Done struct {
	Return bool `xml:"return"`
}

// List is written as an element with an <item> for each value, and as an empty
// element when it has none.
type List[T any] []T

// MarshalXML implements xml.Marshaler.
func (l List[T]) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	for _, v := range l {
		if err := e.EncodeElement(v, xml.StartElement{Name: xml.Name{Local: "item"}}); err != nil {
			return err
		}
	}
	return e.EncodeToken(start.End())
}

// Time is written in UTC with milliseconds.
type Time time.Time

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05.000Z")), nil
}

// OptionalTime returns nil, which leaves the element out, for the zero time.
func OptionalTime(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return (*Time)(&t)
}

// Double is written as Java's Double.toString does: 512.0, 7.056384E8.
type Double float64

// MarshalText implements encoding.TextMarshaler.
func (d Double) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String returns the form that is written.
func (d Double) String() string {
	x := float64(d)
	switch size := math.Abs(x); {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, -1):
		return "-Infinity"
	case math.IsInf(x, 1):
		return "Infinity"
	case x == 0, size >= 1e-3 && size < 1e7:
		return withPoint(strconv.FormatFloat(x, 'f', -1, 64))
	}
	digits, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', -1, 64), "e")
	n, _ := strconv.Atoi(exponent)
	return withPoint(digits) + "E" + strconv.Itoa(n)
}

func withPoint(digits string) string {
	if strings.Contains(digits, ".") {
		return digits
	}
	return digits + ".0"
}
