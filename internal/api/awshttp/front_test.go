package awshttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/diskport/diskport/internal/api/awshttp/wiretest"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
	"github.com/diskport/diskport/internal/identity/sigv4"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// keys knows AKID with secret "secret", OLD whose session ended, and BROKEN.
type keys struct{}

func (keys) Lookup(_ context.Context, id, _ string) (iam.Principal, sigv4.Secret, error) {
	switch id {
	case "AKID":
		return iam.Principal{Account: "123456789012", ARN: "arn:aws:iam::123456789012:root"}, sigv4.NewSecret("secret"), nil
	case "OLD":
		return iam.Principal{}, sigv4.Secret{}, iam.ErrExpiredToken
	case "BROKEN":
		return iam.Principal{}, sigv4.Secret{}, errors.New("database on fire")
	}
	return iam.Principal{}, sigv4.Secret{}, iam.ErrUnknownKey
}

type edgeFunc func(http.ResponseWriter, *http.Request, *Call)

func (f edgeFunc) ServeAWS(w http.ResponseWriter, r *http.Request, c *Call) { f(w, r, c) }

// fixture is a front whose edges answer "service account action body".
type fixture struct {
	*Front
	log *bytes.Buffer
	reg *prometheus.Registry
}

func newFixture(change func(*Options)) fixture {
	log := &bytes.Buffer{}
	reg := prometheus.NewRegistry()
	echo := edgeFunc(func(w http.ResponseWriter, r *http.Request, c *Call) {
		c.Action = "Echo"
		body := c.Body
		if c.Service == S3 {
			body, _ = io.ReadAll(r.Body)
		}
		_, _ = io.WriteString(w, strings.Join([]string{c.Service, c.Principal.Account, c.Form.Get("Action"), string(body)}, "|"))
	})
	opts := Options{
		Edges:   map[string]Edge{EC2: echo, EBS: echo, S3: echo, IAM: echo, STS: echo, Diskport: echo},
		Keys:    keys{},
		Log:     slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: reg,
		Regions: wiretest.Regions("us-east-1"),
		Now:     func() time.Time { return now },
		NewID:   func() string { return "id-1" },
	}
	if change != nil {
		change(&opts)
	}
	return fixture{New(opts), log, reg}
}

func (f fixture) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func form(path string, v string) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(v))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

// sign signs r as key for service at the given time, over the given body.
func sign(t *testing.T, r *http.Request, key, service, body string, at time.Time) *http.Request {
	t.Helper()
	creds := aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret"}
	hash := sigv4.HashBody([]byte(body))
	if service == S3 {
		r.Header.Set("X-Amz-Content-Sha256", hash)
	}
	if err := signer.NewSigner().SignHTTP(context.Background(), creds, r, hash, service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

// signUnsigned signs all of r but its body.
func signUnsigned(t *testing.T, r *http.Request, service string, at time.Time) *http.Request {
	t.Helper()
	creds := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}
	r.Header.Set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
	if err := signer.NewSigner().SignHTTP(t.Context(), creds, r, sigv4.UnsignedPayload, service, "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestServices(t *testing.T) {
	const action = "Action=Do&Version=2016-11-15"
	presigned := func(query string) *http.Request {
		r := httptest.NewRequest("GET", "/?"+query, nil)
		uri, _, err := signer.NewSigner().PresignHTTP(context.Background(),
			aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, r, sigv4.HashBody(nil), EC2, "us-east-1", now)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(uri)
		return httptest.NewRequest("GET", u.RequestURI(), nil)
	}
	tests := []struct {
		name string
		req  *http.Request
		want string
	}{
		{"ec2 form", sign(t, form("/", action), "AKID", EC2, action, now), "ec2|123456789012|Do|" + action},
		{"ec2 presigned query", presigned(action), "ec2|123456789012|Do|"},
		{"sts form", sign(t, form("/", action), "AKID", STS, action, now), "sts|123456789012|Do|" + action},
		{"ebs", sign(t, httptest.NewRequest("GET", "/snapshots/x/blocks", nil), "AKID", EBS, "", now), "ebs|123456789012||"},
		{"s3 signed", sign(t, httptest.NewRequest("PUT", "/b/k", strings.NewReader("data")), "AKID", S3, "data", now), "s3|123456789012||data"},
		{"s3 anonymous", httptest.NewRequest("PUT", "/b/k", strings.NewReader("data")), "s3|||data"},
		{"s3 anonymous form", form("/b/k", "a=b"), "s3|||a=b"},
		{"own api", sign(t, httptest.NewRequest("GET", "/-/v1/tasks", nil), "AKID", Diskport, "", now), "diskport|123456789012||"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(nil).do(tt.req)
			if w.Body.String() != tt.want || w.Code != 200 {
				t.Errorf("got %d %q, want %q", w.Code, w.Body, tt.want)
			}
			if w.Header().Get("X-Amzn-RequestId") != "id-1" || w.Header().Get("X-Amz-Request-Id") != "id-1" {
				t.Errorf("headers %v lack the request id", w.Header())
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	const action = "Action=Do"
	ec2 := func(key string, at time.Time) *http.Request { return sign(t, form("/", action), key, EC2, action, at) }
	ebs := func(key string, at time.Time) *http.Request {
		return sign(t, httptest.NewRequest("GET", "/snapshots/x/blocks", nil), key, EBS, "", at)
	}
	malformed := form("/", action)
	malformed.Header.Set("Authorization", "AWS4-HMAC-SHA256 nonsense")
	version2 := form("/", action+"&AWSAccessKeyId=AKID&Signature=x&SignatureVersion=2")
	v2header := httptest.NewRequest("GET", "/b/k", nil)
	v2header.Header.Set("Authorization", "AWS AKID:sig")
	malformedQuery := httptest.NewRequest("GET", "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260304%2Fus-east-1%2Fs3%2Faws4_request"+
		"&X-Amz-Date=20260304T050607Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=short", nil)
	hashless := sign(t, httptest.NewRequest("PUT", "/b", nil), "AKID", S3, "", now)
	hashless.Header.Del("X-Amz-Content-Sha256")
	tests := []struct {
		name   string
		req    *http.Request
		status int
		want   string // in body or error header
	}{
		{"ec2 unknown key", ec2("NOBODY", now), 401, "<Code>AuthFailure</Code>"},
		{"ec2 wrong body", sign(t, form("/", action+"x"), "AKID", EC2, action, now), 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"ec2 none", form("/", action), 403, "<Code>MissingAuthenticationToken</Code>"},
		{"ec2 none in query", httptest.NewRequest("GET", "/?"+action, nil), 403, "<Code>MissingAuthenticationToken</Code>"},
		{"ec2 malformed", malformed, 400, "<Code>IncompleteSignature</Code>"},
		{"ec2 late", ec2("AKID", now.Add(-16*time.Minute)), 400, "<Code>RequestExpired</Code>"},
		{"ec2 early", ec2("AKID", now.Add(16*time.Minute)), 400, "<Code>RequestExpired</Code>"},
		{"ec2 old session", ec2("OLD", now), 400, "<Code>RequestExpired</Code>"},
		{"ec2 version 2", version2, 401, "--allow-sigv2"},
		{"ec2 internal", ec2("BROKEN", now), 500, "<Code>InternalError</Code>"},
		{"ec2 bad form", sign(t, form("/", "a=%zz"), "AKID", EC2, "a=%zz", now), 400, "<Code>MalformedQueryString</Code>"},
		{"ec2 large", sign(t, form("/", strings.Repeat("x", maxForm+1)), "AKID", EC2, "", now), 413, "RequestEntityTooLarge"},
		{"sts unknown key", sign(t, form("/", action), "NOBODY", STS, action, now), 403, "<Code>InvalidClientTokenId</Code>"},
		{"ebs unknown key", ebs("NOBODY", now), 403, "UnrecognizedClientException"},
		{"ebs late", ebs("AKID", now.Add(-time.Hour)), 403, "InvalidSignatureException"},
		{"s3 unknown key", sign(t, httptest.NewRequest("GET", "/b/k", nil), "NOBODY", S3, "", now), 403, "<Code>InvalidAccessKeyId</Code>"},
		{"s3 no hash of the body", hashless, 400, "<Code>InvalidRequest</Code><Message>Missing required header for this request: x-amz-content-sha256</Message>"},
		{"s3 version 2 header", v2header, 400, "<Code>AuthorizationHeaderMalformed</Code>"},
		{"s3 version 2 presigned", httptest.NewRequest("GET", "/b/k?AWSAccessKeyId=AKID&Signature=x&Expires=1", nil), 403, "<Message>Request has expired</Message>"},
		{"s3 version 2 until nonsense", httptest.NewRequest("GET", "/b/k?AWSAccessKeyId=AKID&Signature=x&Expires=1x", nil), 403, "<Message>Invalid date (should be seconds since epoch): 1x</Message>"},
		{"s3 version 2 for ever", httptest.NewRequest("GET", "/b/k?AWSAccessKeyId=AKID&Signature=x", nil), 403, "<Message>Query-string authentication requires"},
		{"s3 presigned with a malformed signature", malformedQuery, 400, "<Code>AuthorizationQueryParametersError</Code>"},
		{"s3 bad query", httptest.NewRequest("GET", "/b/k?x=%zz", nil), 400, "<Code>InvalidURI</Code>"},
		{"no service at all", sign(t, form("/", action), "AKID", "Simple Queue!", action, now), 403, "<Code>SignatureDoesNotMatch</Code>"},
		{"own api unsigned", httptest.NewRequest("GET", "/-/v1/tasks", nil), 403, "MissingAuthenticationTokenException"},
		{"own api as s3", sign(t, httptest.NewRequest("GET", "/-/v1/tasks", nil), "AKID", S3, "", now), 403, "InvalidSignatureException"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(nil)
			w := f.do(tt.req)
			if w.Code != tt.status || !strings.Contains(w.Body.String()+w.Header().Get("X-Amzn-Errortype"), tt.want) {
				t.Errorf("got %d %s %q, want %d with %q", w.Code, w.Body, w.Header(), tt.status, tt.want)
			}
			if strings.Contains(w.Body.String(), "on fire") {
				t.Error("the cause went to the client")
			}
			if tt.status == 500 && !strings.Contains(f.log.String(), "on fire") {
				t.Error("the cause is not in the log")
			}
		})
	}
}

// TestRegionOfTheScope: a request is made in the region that its credential scope
// names, if the service plays it; in the global services the scope decides nothing.
func TestRegionOfTheScope(t *testing.T) {
	scoped := func(r *http.Request, service, region string) *http.Request {
		creds := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}
		hash := sigv4.HashBody(nil)
		if service == S3 {
			r.Header.Set("X-Amz-Content-Sha256", hash)
		}
		if err := signer.NewSigner().SignHTTP(t.Context(), creds, r, hash, service, region, now); err != nil {
			t.Fatal(err)
		}
		return r
	}
	presigned := func(region string) *http.Request {
		uri, _, err := signer.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"},
			httptest.NewRequest("GET", "/?Action=Do", nil), sigv4.HashBody(nil), EC2, region, now)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(uri)
		return httptest.NewRequest("GET", u.RequestURI(), nil)
	}
	paths := map[string]string{EC2: "/?Action=Do", IAM: "/?Action=Do", STS: "/?Action=Do", EBS: "/snapshots/x/blocks", KMS: "/", S3: "/b/k", Diskport: "/-/v1/tasks"}
	refusal := map[string][2]string{
		EC2: {"401", "<Code>AuthFailure</Code>"}, EBS: {"403", "InvalidSignatureException"}, KMS: {"403", "InvalidSignatureException"}, Diskport: {"403", "InvalidSignatureException"},
	}
	for service, path := range paths {
		for _, scope := range []string{"us-east-1", "eu-west-1", "eu-central-1", "cn-north-1", "us-east-1a", "local-1"} {
			var got *Call
			f := newFixture(func(o *Options) {
				o.Regions = wiretest.Regions("us-east-1", "us-east-1", "eu-west-1")
				o.Edges = map[string]Edge{service: edgeFunc(func(_ http.ResponseWriter, _ *http.Request, c *Call) { got = c })}
			})
			requests := map[string]*http.Request{"header": scoped(httptest.NewRequest("GET", path, nil), service, scope)}
			if service == EC2 {
				requests["presigned"] = presigned(scope)
			}
			for form, r := range requests {
				got = nil
				w := f.do(r)
				want := scope
				if service == IAM || service == STS {
					want = "us-east-1"
				}
				fault, checked := refusal[service]
				if checked && scope != "us-east-1" && scope != "eu-west-1" {
					said := w.Body.String() + w.Header().Get("X-Amzn-Errortype")
					if got != nil || strconv.Itoa(w.Code) != fault[0] || !strings.Contains(said, fault[1]) || !strings.Contains(said, "Credential should be scoped to a valid region.") {
						t.Errorf("%s for %s by %s: got %d %s", service, scope, form, w.Code, w.Body)
					}
					continue
				}
				if got == nil || got.Region != want || got.Origin.Region != want || got.Home() != (awsid.Home{Account: "123456789012", Region: want}) {
					t.Errorf("%s for %s by %s: got %+v, want region %s: %d %s", service, scope, form, got, want, w.Code, w.Body)
				}
			}
		}
	}
}

func TestEveryProtocolTellsEveryRefusal(t *testing.T) {
	for service, row := range refusals {
		if len(row) != int(internal)+1 {
			t.Errorf("%s: got %d rows, want %d", service, len(row), internal+1)
		}
	}
}

func TestPages(t *testing.T) {
	page := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	all := func(o *Options) {
		o.Live, o.Ready, o.Scrape, o.Console = page("live"), page("ready"), page("metrics"), page("console")
	}
	browser := httptest.NewRequest("GET", "/", nil)
	browser.Header.Set("Accept", "text/html,*/*")
	tests := []struct {
		name   string
		change func(*Options)
		req    *http.Request
		status int
		want   string
	}{
		{"live", all, httptest.NewRequest("GET", "/-/live", nil), 200, "live"},
		{"ready", all, httptest.NewRequest("GET", "/-/ready", nil), 200, "ready"},
		{"metrics", all, httptest.NewRequest("GET", "/-/metrics", nil), 200, "metrics"},
		{"console", all, httptest.NewRequest("GET", "/-/console/tasks", nil), 200, "console"},
		{"unknown", all, httptest.NewRequest("GET", "/-/nothing", nil), 404, "not found"},
		{"absent", nil, httptest.NewRequest("GET", "/-/live", nil), 404, "not found"},
		{"browser with console", all, browser, 302, "/-/console/"},
		{"browser without", nil, browser, 200, "diskport env"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(tt.change).do(tt.req)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %d with %q", w.Code, w.Body, tt.status, tt.want)
			}
		})
	}
}

func TestPanics(t *testing.T) {
	early := func(o *Options) {
		o.Edges[S3] = edgeFunc(func(http.ResponseWriter, *http.Request, *Call) { panic("planted") })
	}
	late := func(o *Options) {
		o.Edges[S3] = edgeFunc(func(w http.ResponseWriter, _ *http.Request, _ *Call) {
			_, _ = io.WriteString(w, "half")
			panic("planted")
		})
	}
	f := newFixture(early)
	w := f.do(httptest.NewRequest("GET", "/b/k", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "<Code>InternalError</Code>") || strings.Contains(w.Body.String(), "planted") {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
	if !strings.Contains(f.log.String(), "planted") || !strings.Contains(f.log.String(), "front_test.go") {
		t.Errorf("log %q lacks the panic or its stack", f.log)
	}
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler {
			t.Errorf("got panic %v, want ErrAbortHandler", cause)
		}
	}()
	newFixture(late).do(httptest.NewRequest("GET", "/b/k", nil))
}

func TestAccessLogHidesSecrets(t *testing.T) {
	f := newFixture(nil)
	f.do(httptest.NewRequest("GET", "/b/k?prefix=seen&X-Amz-Signature=planted&x-amz-security-token=planted&Signature=planted", nil))
	f.do(httptest.NewRequest("GET", "/?Action=X&DiskContainer.Url=planted", nil))
	if log := f.log.String(); strings.Contains(log, "planted") || !strings.Contains(log, "prefix=seen") {
		t.Errorf("got log %s", log)
	}
}

// TestAccessLogNamesUnknownActions, cut, for operators to see what their clients miss.
func TestAccessLogNamesUnknownActions(t *testing.T) {
	f := newFixture(func(o *Options) { o.Edges[STS] = edgeFunc(func(http.ResponseWriter, *http.Request, *Call) {}) })
	body := "Action=StartVirtualPetting" + strings.Repeat("x", 100)
	f.do(sign(t, form("/", body), "AKID", STS, body, now))
	if log := f.log.String(); !strings.Contains(log, `"asked":"StartVirtualPetting`) || strings.Contains(log, strings.Repeat("x", 100)) {
		t.Errorf("got log %s", log)
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture(nil)
	f.do(httptest.NewRequest("GET", "/b/k", nil))
	f.do(sign(t, form("/", "Action=X"), "AKID", "made-up-by-client", "Action=X", now))
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, m := range families[len(families)-1].GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetValue())
		}
		got[strings.Join(labels, " ")] = true
	}
	if want := "Echo 200 s3"; !got[want] {
		t.Errorf("got %v, want %q", got, want)
	}
	if want := " InvalidAction unknown"; !got[want] {
		t.Errorf("got %v, want %q", got, want)
	}
}

// TestSilence: an edge that writes nothing has answered 200, and log and metrics
// say so.
func TestSilence(t *testing.T) {
	f := newFixture(func(o *Options) {
		o.Edges[STS] = edgeFunc(func(_ http.ResponseWriter, _ *http.Request, c *Call) { c.Action = "Nothing" })
	})
	f.do(sign(t, form("/", "Action=Nothing"), "AKID", STS, "Action=Nothing", now))
	if want := `"status":200`; !strings.Contains(f.log.String(), want) {
		t.Errorf("no %s in %s", want, f.log)
	}
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, label := range family.GetMetric()[0].GetLabel() {
			if label.GetName() == "code" && label.GetValue() != "200" {
				t.Errorf("%s counts it as %s", family.GetName(), label.GetValue())
			}
		}
	}
}

// TestFaultsOfJSON: clients of KMS get the content type of its protocol.
func TestFaultsOfJSON(t *testing.T) {
	for service, want := range map[string]string{KMS: "application/x-amz-json-1.1", Diskport: "application/json", EBS: "application/json"} {
		w := httptest.NewRecorder()
		(&Call{Service: service}).Fail(w, Fault{Status: 400, Code: "X"})
		if got := w.Header().Get("Content-Type"); got != want || w.Header().Get("X-Amzn-Errortype") != "X" {
			t.Errorf("%s: got %v", service, w.Header())
		}
	}
}

// TestAbsentServices: a service of AWS's that is not here is named, in the protocol of
// the request.
func TestAbsentServices(t *testing.T) {
	target := func(service, contentType string) *http.Request {
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.Header.Set("X-Amz-Target", "AmazonSSM.GetParameter")
		r.Header.Set("Content-Type", contentType)
		return sign(t, r, "AKID", service, "{}", now)
	}
	get := func(service, path string) *http.Request {
		return sign(t, httptest.NewRequest("GET", path, nil), "AKID", service, "", now)
	}
	for _, c := range []struct {
		name        string
		req         *http.Request
		status      int
		contentType string
		want        string
	}{
		{"JSON", target("ssm", "application/x-amz-json-1.1"), 400, "application/x-amz-json-1.1", `"__type":"UnknownOperationException","message":"Diskport has no ssm."`},
		{"JSON 1.0", target("dynamodb", "application/x-amz-json-1.0"), 400, "application/x-amz-json-1.0", "Diskport has no dynamodb."},
		{"a form", sign(t, form("/", "Action=Do"), "AKID", "sqs", "Action=Do", now), 400, "text/xml;charset=UTF-8", "<Code>InvalidAction</Code><Message>Diskport has no sqs.</Message>"},
		{"a query", get("sns", "/?Action=ListTopics"), 400, "text/xml;charset=UTF-8", "<Message>Diskport has no sns.</Message>"},
		{"paths", get("lambda", "/2015-03-31/functions"), 404, "application/json", "Diskport has no lambda."},
		{"paths, in XML", get("route53", "/2013-04-01/hostedzone"), 501, "text/xml;charset=UTF-8", "<Message>Diskport has no route53.</Message>"},
	} {
		f := newFixture(nil)
		w := f.do(c.req)
		if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: got %d %s %s", c.name, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}
