package s3api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"
)

func TestBucketsAreMadeWhereTheyAreAskedFor(t *testing.T) {
	in := func(signed string) *s3.Client { return ownerA.client(func(o *s3.Options) { o.Region = signed }) }
	for _, c := range []struct {
		name, signed, constraint, want, location string
	}{
		{"region-plain", "us-east-1", "", "", ""},
		{"region-constraint", "us-east-1", "eu-west-1", "", "eu-west-1"},
		{"region-old-name", "us-east-1", "EU", "", "eu-west-1"},
		{"region-own", "eu-west-1", "eu-west-1", "", "eu-west-1"},
		{"region-missing", "eu-west-1", "", "IllegalLocationConstraintException", ""},
		{"region-other", "eu-west-1", "eu-west-2", "IllegalLocationConstraintException", ""},
		{"region-named-default", "us-east-1", "us-east-1", "InvalidLocationConstraint", ""},
		{"region-nonsense", "us-east-1", "mars", "InvalidLocationConstraint", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			input := &s3.CreateBucketInput{Bucket: &c.name}
			if c.constraint != "" {
				input.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(c.constraint)}
			}
			out, err := in(c.signed).CreateBucket(t.Context(), input)
			if code(err) != c.want {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if err != nil {
				return
			}
			if aws.ToString(out.Location) != "/"+c.name {
				t.Errorf("Location %q", aws.ToString(out.Location))
			}
			where := must(ownerA.client().GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: &c.name}))(t)
			if string(where.LocationConstraint) != c.location {
				t.Errorf("it is in %q, want %q", where.LocationConstraint, c.location)
			}
		})
	}
}

func TestBucketNames(t *testing.T) {
	for name, want := range map[string]string{
		"good-name.1": "", "ab": "InvalidBucketName", "Upper": "InvalidBucketName", "two..dots": "InvalidBucketName", "dot.-dash": "InvalidBucketName",
		"192.168.1.1": "InvalidBucketName", "under_score": "InvalidBucketName", "xn--a": "InvalidBucketName", strings.Repeat("a", 64): "InvalidBucketName", "-dash": "InvalidBucketName",
	} {
		res, body := ownerA.ask(t, "PUT", "/"+name, "")
		if want == "" && res.StatusCode != 200 || want != "" && !strings.Contains(body, "<Code>"+want+"</Code>") {
			t.Errorf("%s: %d %s, want %q", name, res.StatusCode, body, want)
		}
	}
}

func TestBucketsThatExist(t *testing.T) {
	b := bucketOf(t)
	must(ownerA.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: b}))(t) // us-east-1 alone lets its owner do so
	refused(ownerB.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: b}))(t, "BucketAlreadyExists")
	elsewhere := &s3.CreateBucketInput{Bucket: aws.String("exists-in-eu"), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}}
	must(ownerA.client().CreateBucket(t.Context(), elsewhere))(t)
	refused(ownerA.client().CreateBucket(t.Context(), elsewhere))(t, "BucketAlreadyOwnedByYou")
}

func TestHeadBucket(t *testing.T) {
	b := bucketOf(t)
	res, _ := ownerA.ask(t, "HEAD", "/"+*b, "")
	if res.StatusCode != 200 || res.Header.Get("X-Amz-Bucket-Region") != region || res.Header.Get("Content-Type") != "application/xml" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	res, body := ownerA.ask(t, "HEAD", "/no-such-bucket", "")
	if res.StatusCode != 404 || body != "" || res.Header.Get("X-Amz-Request-Id") == "" {
		t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
	}
}

func TestBucketsAreListed(t *testing.T) {
	for _, name := range []string{"listed-c", "listed-a", "listed-b"} {
		must(ownerB.client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}))(t)
	}
	input := &s3.ListBucketsInput{Prefix: aws.String("listed-"), MaxBuckets: aws.Int32(2)}
	var pages [][]string
	for p := s3.NewListBucketsPaginator(ownerB.client(), input); p.HasMorePages(); {
		out := must(p.NextPage(t.Context()))(t)
		var names []string
		for _, b := range out.Buckets {
			names = append(names, *b.Name)
			if b.CreationDate == nil || aws.ToString(b.BucketRegion) != region {
				t.Errorf("bucket %+v", b)
			}
		}
		pages = append(pages, names)
	}
	if want := [][]string{{"listed-a", "listed-b"}, {"listed-c"}}; !cmp.Equal(pages, want) {
		t.Errorf("pages %v, want %v", pages, want)
	}
	for _, b := range must(ownerA.client().ListBuckets(t.Context(), &s3.ListBucketsInput{}))(t).Buckets {
		if strings.HasPrefix(*b.Name, "listed-") {
			t.Errorf("another account sees %s", *b.Name)
		}
	}
	res, body := ownerA.ask(t, "GET", "/?max-buckets=0", "")
	if res.StatusCode != 400 || !strings.Contains(body, "InvalidArgument") {
		t.Errorf("no buckets at all: %d %s", res.StatusCode, body)
	}
}

func TestBucketsAreDeleted(t *testing.T) {
	b := bucketOf(t)
	refused(ownerB.client().DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: b}))(t, "AccessDenied")
	must(ownerA.client().DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: b}))(t)
	refused(ownerA.client().DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: b}))(t, "NoSuchBucket")
}

// TestErrorsAreS3s: the id of a request is the same in header and body, and the body
// says what is missing.
func TestErrorsAreS3s(t *testing.T) {
	res, body := ownerA.ask(t, "GET", "/no-such-bucket?versioning", "")
	for _, want := range []string{
		"<Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message><BucketName>no-such-bucket</BucketName>",
		"<RequestId>" + res.Header.Get("X-Amz-Request-Id") + "</RequestId>", "<HostId>" + res.Header.Get("X-Amz-Id-2") + "</HostId>",
	} {
		if res.StatusCode != http.StatusNotFound || !strings.Contains(body, want) {
			t.Errorf("%d %s lacks %s", res.StatusCode, body, want)
		}
	}
	if res.Header.Get("Content-Type") != "application/xml" {
		t.Errorf("%v", res.Header)
	}
}

func TestOperationsThatAreNotBuilt(t *testing.T) {
	b := bucketOf(t)
	for request, want := range map[string]string{
		"GET ?analytics":            "NotImplemented",
		"PUT ?website":              "NotImplemented",
		"PUT ?replication":          "NotImplemented",
		"POST k?restore":            "NotImplemented",
		"POST ":                     "MethodNotAllowed",
		"PATCH k":                   "MethodNotAllowed",
		"GET ?acl&policy":           "InvalidArgument",
		"GET ?prefix=a&prefix=b":    "InvalidArgument",
		"GET ?list-type=3":          "InvalidArgument",
		"GET ?max-keys=x":           "InvalidArgument",
		"GET ?encoding-type=base64": "InvalidArgument",
	} {
		method, path, _ := strings.Cut(request, " ")
		res, body := ownerA.ask(t, method, "/"+*b+"/"+path, "")
		if !strings.Contains(body, "<Code>"+want+"</Code>") {
			t.Errorf("%s: %d %s, want %s", request, res.StatusCode, body, want)
		}
	}
	for header, want := range map[string]string{
		"X-Amz-Server-Side-Encryption-Customer-Algorithm": "NotImplemented",
		"X-Amz-Object-Lock-Mode":                          "NotImplemented",
		"X-Amz-Website-Redirect-Location":                 "NotImplemented",
		"X-Amz-Grant-Read":                                "AccessControlListNotSupported",
		"X-Amz-Storage-Class":                             "InvalidStorageClass",
		"X-Amz-Acl":                                       "InvalidArgument",
		"X-Amz-Server-Side-Encryption":                    "InvalidArgument",
	} {
		res, body := ownerA.ask(t, "PUT", "/"+*b+"/k", "x", header, "what")
		if !strings.Contains(body, "<Code>"+want+"</Code>") {
			t.Errorf("%s: %d %s, want %s", header, res.StatusCode, body, want)
		}
	}
	for sub, want := range map[string]string{
		"analytics": "ListBucketAnalyticsConfigurations", "analytics&id=a": "GetBucketAnalyticsConfiguration",
		"intelligent-tiering": "ListBucketIntelligentTieringConfigurations",
	} {
		if _, body := ownerA.ask(t, "GET", "/"+*b+"?"+sub, ""); !strings.Contains(body, "not implemented: "+want+"<") {
			t.Errorf("%s: %s, want %s", sub, body, want)
		}
	}
}
