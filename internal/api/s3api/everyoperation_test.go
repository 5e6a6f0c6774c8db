package s3api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// recorder keeps the request that a client was about to send.
type recorder struct{ sent *http.Request }

var errRecorded = errors.New("recorded")

func (r *recorder) Do(sent *http.Request) (*http.Response, error) {
	r.sent = sent
	return nil, errRecorded
}

// fill sets what v has to something, so that no client misses what it needs.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth)
	case reflect.String:
		v.SetString("x")
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 && depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0), depth-1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && f.Name != "ResultMetadata" && depth > 0 {
				fill(v.Field(i), depth-1)
			}
		}
	case reflect.Interface:
		switch v.Type() {
		case reflect.TypeFor[io.Reader]():
			v.Set(reflect.ValueOf(strings.NewReader("x")))
		case reflect.TypeFor[types.ObjectEncryption]():
			v.Set(reflect.ValueOf(&types.ObjectEncryptionMemberSSEKMS{Value: types.SSEKMSEncryption{KMSKeyArn: aws.String("x")}}))
		}
	}
}

// TestEveryOperationOfS3 asks for all that the SDK knows. What is not built is refused by
// its name, and never taken for another operation: an annotation that is put must not
// become the object.
func TestEveryOperationOfS3(t *testing.T) {
	same := map[string]string{"ListDirectoryBuckets": "ListBuckets"} // of another host
	elsewhere := map[string]bool{"WriteGetObjectResponse": true}     // of another service
	client := reflect.TypeFor[*s3.Client]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() != 4 || m.Type.In(1) != reflect.TypeFor[context.Context]() || elsewhere[m.Name] {
			continue
		}
		var r recorder
		c := s3.New(s3.Options{
			Region: region, BaseEndpoint: aws.String("http://s3.test"), UsePathStyle: true, HTTPClient: &r, Retryer: aws.NopRetryer{},
			Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), DisableS3ExpressSessionAuth: aws.Bool(true),
		})
		in := reflect.New(m.Type.In(2).Elem())
		for f := range in.Elem().NumField() {
			if field := in.Elem().Type().Field(f); field.IsExported() && !strings.HasPrefix(field.Name, "Checksum") && !strings.HasPrefix(field.Name, "SSE") && !strings.Contains(field.Name, "CopySourceSSE") {
				fill(in.Elem().Field(f), 12)
			}
		}
		out := m.Func.Call([]reflect.Value{reflect.ValueOf(c), reflect.ValueOf(t.Context()), in})
		if r.sent == nil {
			t.Errorf("%s sends nothing: %v", m.Name, out[1])
			continue
		}
		got, err := read(request(r.sent.Method, r.sent.URL.Host, r.sent.URL.RequestURI(), r.sent.Header))
		name, _, _ := strings.Cut(got, " ")
		if name == cmp.Or(same[m.Name], m.Name) {
			continue
		}
		if f, ok := errors.AsType[*failure](err); !ok || f.code != "NotImplemented" {
			t.Errorf("%s: %s %s is taken for %q, %v", m.Name, r.sent.Method, r.sent.URL.RequestURI(), got, err)
		}
	}
}
