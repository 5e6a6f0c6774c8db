package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	ec2sdk "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	iamsdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

// wire is a transport that answers as it is told, and keeps the requests.
type wire struct {
	answer func(attempt int, form url.Values) (status int, body string, err error)
	asked  []asked
}

// asked is what a request says.
type asked struct {
	Form        url.Values
	Scope, Type string // of the signature; of the contents
	Token       string
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "AKIATEST/")
	scope, _, _ = strings.Cut(scope, ",")
	_, scope, _ = strings.Cut(scope, "/") // without the day
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	w.asked = append(w.asked, asked{form, scope, kind, r.Header.Get("X-Amz-Security-Token")})
	status, text, err := w.answer(len(w.asked), form)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r,
	}, nil
}

// clients returns the client under test, and those of the SDK, on w.
func (w *wire) clients() (*Client, *ec2sdk.Client, *iamsdk.Client) {
	c := Config{
		Endpoint: "http://service.test", Region: "eu-west-1", HTTP: &http.Client{Transport: w},
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", "token"),
	}
	shared := aws.Config{Region: c.Region, Credentials: c.Credentials, BaseEndpoint: &c.Endpoint, HTTPClient: c.HTTP}
	return New(c), ec2sdk.NewFromConfig(shared), iamsdk.NewFromConfig(shared)
}

const (
	ec2Fault = `<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>r-1</RequestID></Response>`
	iamFault = `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>%s</Code>` +
		`<Message>%s</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`
)

// TestRequestsAreThoseOfTheSDK: every call makes the same request as through the
// SDK, and is signed for the same scope.
func TestRequestsAreThoseOfTheSDK(t *testing.T) {
	w := &wire{answer: func(_ int, form url.Values) (int, string, error) {
		if form.Get("Action") == "GetRole" {
			return http.StatusNotFound, fmt.Sprintf(iamFault, "NoSuchEntity", "There is no such role."), nil
		}
		return http.StatusOK, "<Response><" + form.Get("Action") + "Result/></Response>", nil
	}}
	c, ec2Client, iamClient := w.clients()
	ctx, id, role := t.Context(), aws.String("id-1"), aws.String("importer")
	req := ImportRequest{
		URL: "s3://images/disk+1.vmdk", Format: "vmdk", Description: "a & b = é", RoleName: *role,
		Tags: map[string]string{"b": "2", "a": ""}, Encrypted: true, KMSKey: "alias/disks",
	}
	tags := []types.Tag{{Key: aws.String("a"), Value: aws.String("")}, {Key: aws.String("b"), Value: aws.String("2")}}
	tests := []struct {
		name string
		ours func() error
		sdk  func() error
	}{
		{"import", func() error {
			params := req.params()
			params.Set("ClientToken", "token")
			return c.query(ctx, ec2, "ImportSnapshot", params, nil)
		}, func() error {
			_, err := ec2Client.ImportSnapshot(ctx, &ec2sdk.ImportSnapshotInput{
				ClientToken: aws.String("token"), Description: &req.Description, RoleName: role,
				DiskContainer: &types.SnapshotDiskContainer{Url: &req.URL, Format: &req.Format},
				Encrypted:     &req.Encrypted, KmsKeyId: &req.KMSKey,
				TagSpecifications: []types.TagSpecification{
					{ResourceType: types.ResourceTypeImportSnapshotTask, Tags: tags}, {ResourceType: types.ResourceTypeSnapshot, Tags: tags},
				},
			})
			return err
		}},
		{"cancel", func() error { return c.Cancel(ctx, *id) }, func() error {
			_, err := ec2Client.CancelImportTask(ctx, &ec2sdk.CancelImportTaskInput{ImportTaskId: id})
			return err
		}},
		{"delete", func() error { return c.Delete(ctx, *id) }, func() error {
			_, err := ec2Client.DeleteSnapshot(ctx, &ec2sdk.DeleteSnapshotInput{SnapshotId: id})
			return err
		}},
		{"role", func() error { return c.EnsureRole(ctx, *role) }, func() error {
			if _, err := iamClient.GetRole(ctx, &iamsdk.GetRoleInput{RoleName: role}); !IsNotFound(err) {
				return fmt.Errorf("GetRole = %w, want that there is none", err)
			}
			_, created := iamClient.CreateRole(ctx, &iamsdk.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: aws.String(TrustPolicy)})
			_, put := iamClient.PutRolePolicy(ctx, &iamsdk.PutRolePolicyInput{RoleName: role, PolicyName: role, PolicyDocument: aws.String(RolePolicy)})
			return errors.Join(created, put)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.asked = nil
			if err := tt.ours(); err != nil {
				t.Fatal(err)
			}
			ours := w.asked
			w.asked = nil
			if err := tt.sdk(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w.asked, ours); diff != "" {
				t.Errorf("the SDK says (-), and we (+):\n%s", diff)
			}
		})
	}
}

func TestErrorsAreThoseOfTheSDK(t *testing.T) {
	ec2Text := fmt.Sprintf(ec2Fault, "InvalidSnapshot.NotFound", "The snapshot &apos;snap-1&apos; does not exist.")
	iamText := fmt.Sprintf(iamFault, "NoSuchEntity", "There is no such role.")
	w := &wire{}
	c, ec2Client, iamClient := w.clients()
	ctx, id := t.Context(), aws.String("snap-1")
	deleteByUs := func() error { return c.Delete(ctx, *id) }
	deleteBySDK := func() error {
		_, err := ec2Client.DeleteSnapshot(ctx, &ec2sdk.DeleteSnapshotInput{SnapshotId: id})
		return err
	}
	tests := map[string]struct {
		status int
		body   string
		want   APIError
		ours   func() error
		sdk    func() error // nil: the SDK's error for this is not compared
	}{
		"EC2": {400, ec2Text, APIError{400, "InvalidSnapshot.NotFound", "The snapshot 'snap-1' does not exist.", "r-1"}, deleteByUs, deleteBySDK},
		"IAM": {404, iamText, APIError{404, "NoSuchEntity", "There is no such role.", "r-1"},
			func() error { return c.query(ctx, iam, "GetRole", url.Values{}, nil) },
			func() error {
				_, err := iamClient.GetRole(ctx, &iamsdk.GetRoleInput{RoleName: id})
				return err
			}},
		"a proxy":    {403, "<html><body>No way.</body></html>", APIError{403, "HTTP", "403 Forbidden", ""}, deleteByUs, nil},
		"no answer":  {403, "", APIError{403, "HTTP", "403 Forbidden", ""}, deleteByUs, nil},
		"a redirect": {307, "", APIError{307, "HTTP", "307 Temporary Redirect", ""}, deleteByUs, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w.answer = func(int, url.Values) (int, string, error) { return tt.status, tt.body, nil }
			var got *APIError
			err := tt.ours()
			if !errors.As(err, &got) || *got != tt.want {
				t.Fatalf("got %v, want %+v", err, tt.want)
			}
			if tt.sdk == nil {
				return
			}
			var sdk smithy.APIError
			if err := tt.sdk(); !errors.As(err, &sdk) || sdk.ErrorCode() != got.Code || sdk.ErrorMessage() != got.Message {
				t.Errorf("the SDK says %v, we %v", err, got)
			}
		})
	}
}

func TestQueryTriesAgain(t *testing.T) {
	type attempt struct {
		status int
		code   string
	}
	var (
		fine     = attempt{200, ""}
		refused  = attempt{} // the connection
		broken   = attempt{500, "InternalError"}
		busy     = attempt{503, "RequestLimitExceeded"}
		throttle = attempt{400, "Throttling"}
		wrong    = attempt{400, "InvalidParameterValue"}
	)
	tests := map[string]struct {
		answers  []attempt
		attempts int
		most     time.Duration // of the pauses together
		fails    bool
	}{
		"fine":              {[]attempt{fine}, 1, 0, false},
		"the caller's":      {[]attempt{wrong}, 1, 0, true},
		"broken once":       {[]attempt{broken, fine}, 2, 50 * time.Millisecond, false},
		"refused once":      {[]attempt{refused, fine}, 2, 50 * time.Millisecond, false},
		"busy and throttle": {[]attempt{busy, throttle, fine}, 3, 3 * time.Second, false},
		"broken for good":   {[]attempt{broken}, 3, 150 * time.Millisecond, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{answer: func(n int, _ url.Values) (int, string, error) {
					a := tt.answers[min(n, len(tt.answers))-1]
					if a == refused {
						return 0, "", syscall.ECONNREFUSED
					}
					return a.status, fmt.Sprintf(ec2Fault, a.code, "no"), nil
				}}
				c, _, _ := w.clients()
				start := time.Now()
				err := c.Delete(t.Context(), "snap-1")
				if took := time.Since(start); (err != nil) != tt.fails || len(w.asked) != tt.attempts || took > tt.most {
					t.Errorf("%d attempts in %v: %v, want %d in %v at most", len(w.asked), took, err, tt.attempts, tt.most)
				}
			})
		})
	}
}

// TestQueryEndsWithItsContext: while it waits for an answer, and between attempts.
func TestQueryEndsWithItsContext(t *testing.T) {
	for name, status := range map[string]int{"in an attempt": http.StatusOK, "after one": http.StatusServiceUnavailable} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			w := &wire{answer: func(int, url.Values) (int, string, error) {
				cancel()
				if status == http.StatusOK {
					return 0, "", ctx.Err()
				}
				return status, "", nil
			}}
			c, _, _ := w.clients()
			if err := c.Delete(ctx, "snap-1"); !errors.Is(err, context.Canceled) || len(w.asked) != 1 {
				t.Errorf("after %d attempts: %v, want one and the context's error", len(w.asked), err)
			}
		})
	}
}

func TestBadAnswers(t *testing.T) {
	tests := map[string]struct{ answer, want string }{
		"endless":     {"<Response>" + strings.Repeat(" ", maxXML), "longer than"},
		"no XML":      {"it went well", "reading the answer"},
		"cut":         {"<Response><importTaskId>import-snap-1</import", "reading the answer"},
		"nothing new": {"<Response/>", "names no task"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := &wire{answer: func(int, url.Values) (int, string, error) { return http.StatusOK, tt.answer, nil }}
			c, _, _ := w.clients()
			_, err := c.Import(t.Context(), ImportRequest{URL: "s3://images/disk.raw", RoleName: "importer"}, Watcher{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Import = %v, want an error that says %q", err, tt.want)
			}
		})
	}
}
