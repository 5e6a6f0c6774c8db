package awshttp

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskport/diskport/internal/audit"
	"github.com/diskport/diskport/internal/awsid"
	"github.com/diskport/diskport/internal/identity/iam"
)

// reading are the beginnings of the names of actions that change nothing. What STS gives
// out is recorded all the same.
var reading = []string{"Describe", "Get", "Head", "List", "Options", "Select", "Simulate", "Verify"}

// using are the actions that use a key without changing anything.
var using = map[string]bool{
	"Decrypt": true, "Encrypt": true, "GenerateDataKey": true, "GenerateDataKeyWithoutPlaintext": true,
	"GenerateDataKeyPair": true, "GenerateDataKeyPairWithoutPlaintext": true, "GenerateRandom": true, "ReEncrypt": true,
}

// isAudited reports whether a call is worth a record. One whose action is not known has
// changed nothing.
func (c *Call) isAudited(method string) bool {
	switch {
	case c.Service == page, c.Action == "" && (c.Service != Diskport || method == http.MethodGet):
		return false
	case c.Service == STS:
		return c.Action != "GetCallerIdentity"
	case c.Service == KMS && using[c.Action]:
		return false
	}
	for _, word := range reading {
		if strings.HasPrefix(c.Action, word) {
			return false
		}
	}
	return true
}

// maxUserAgent is the most bytes that a record has of it, as at CloudTrail.
const maxUserAgent = 1 << 10

// isRefused reports whether nobody in particular was refused something: that is in the
// log of requests, and would let anybody fill the disk with records.
func (c *Call) isRefused(status int) bool {
	return c.Principal.Kind == iam.Anonymous && (c.code != "" || status >= http.StatusBadRequest)
}

// audit records the call, if it may have changed anything.
func (f *Front) audit(c *Call, rec *recorder, t target, at time.Time) {
	if !f.opts.Audit.Kept() || !c.isAudited(t.method) || c.isRefused(rec.status) {
		return
	}
	r := audit.Record{
		EventVersion: "1.11", UserIdentity: identity(c), EventTime: at.UTC().Format(time.RFC3339),
		EventSource: c.Service + ".amazonaws.com", EventName: c.Action, AWSRegion: c.Region,
		SourceIPAddress: c.Origin.SourceIP, UserAgent: c.Origin.UserAgent[:min(len(c.Origin.UserAgent), maxUserAgent)], ErrorCode: c.code, RequestParameters: c.parameters(),
		RequestID: c.RequestID, EventID: awsid.Request(), EventType: "AwsApiCall",
		ReadOnly: c.Service == STS, RecipientAccountID: c.Principal.Account,
		ManagementEvent: !c.isOfData(), EventCategory: "Management",
	}
	if !r.ManagementEvent {
		r.EventCategory = "Data"
	}
	if c.Service == Diskport {
		r.EventSource, r.EventName = Diskport, t.method+" "+t.path
	}
	if r.ErrorCode == "" && rec.status >= http.StatusBadRequest {
		r.ErrorCode = strconv.Itoa(rec.status)
	}
	f.opts.Audit.Write(r)
}

// isOfData reports whether a call is about an object or a block rather than what has them.
func (c *Call) isOfData() bool {
	return c.Service == S3 && c.Parameters["key"] != nil || c.Action == "PutSnapshotBlock"
}

func identity(c *Call) audit.Identity {
	p := c.Principal
	id := audit.Identity{PrincipalID: p.ID, ARN: p.ARN, AccountID: p.Account, AccessKeyID: c.key}
	switch p.Kind {
	case iam.Root:
		id.Type = "Root"
	case iam.User:
		id.Type, id.UserName = "IAMUser", p.Name
	case iam.RoleSession:
		id.Type = "AssumedRole"
	case iam.FederatedUser:
		id.Type = "FederatedUser"
	case iam.ServicePrincipal:
		id.Type = "AWSService"
	case iam.Anonymous:
		id = audit.Identity{Type: "AWSAccount", PrincipalID: "Anonymous", AccountID: "anonymous"}
	}
	return id
}

// maxParameters is the most bytes of parameters in a record. CloudTrail too leaves out
// what is too long; here those that are not stay.
const maxParameters = 32 << 10

// parameters returns what the call asked for, without what is a secret, or null.
func (c *Call) parameters() json.RawMessage {
	asked := map[string]any{}
	switch c.Service {
	case EC2, IAM, STS:
		for name, values := range c.Form {
			if name != "Action" && name != "Version" && !isCredential(name) {
				asked[lowerFirst(name)] = values[0]
			}
		}
	default:
		var body map[string]any
		if len(c.Body) <= maxParameters && json.Unmarshal(c.Body, &body) == nil {
			for name, v := range body {
				asked[lowerFirst(name)] = v
			}
		}
	}
	for name, v := range c.Parameters {
		asked[name] = v
	}
	if len(asked) == 0 {
		return nil
	}
	return bounded(hide(asked).(map[string]any))
}

// bounded returns parameters as JSON, without the longest of those that are too long
// together.
func bounded(asked map[string]any) json.RawMessage {
	sizes, total := map[string]int{}, 2
	for name, v := range asked {
		one, err := json.Marshal(map[string]any{name: v})
		if err != nil {
			return nil
		}
		sizes[name] = len(one)
		total += len(one)
	}
	names := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int { return cmp.Compare(sizes[b], sizes[a]) })
	for _, name := range names {
		if total <= maxParameters {
			break
		}
		total -= sizes[name]
		delete(asked, name)
	}
	if len(asked) == 0 {
		return nil
	}
	text, err := json.Marshal(asked)
	if err != nil {
		return nil
	}
	return text
}

// hidden stands for a secret, as in CloudTrail's records.
const hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"

// secretParameters are, in lower case, names whose values are secrets or may hold some.
var secretParameters = []string{
	"plaintext", "ciphertextblob", "secretaccesskey", "sessiontoken", "tokencode", "userdata", "uefidata",
	"samlassertion", "webidentitytoken", "encryptedkeymaterial", "importtoken", "blocktoken", "pagetoken", "nexttoken", "message", "mac", "signature",
}

// secretEnds are the ends of names of others.
var secretEnds = []string{"password", "secret", "sharedkey", "privatekey"}

// hide replaces the secrets in parameters.
func hide(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			if isSecretName(name) {
				v[name] = hidden
			} else {
				v[name] = hide(x)
			}
		}
	case []any:
		for i, x := range v {
			v[i] = hide(x)
		}
	case string:
		return hideInURL(v)
	}
	return v
}

// isSecretName reports whether a part of a name is that of a secret: of
// LaunchSpecification.UserData.Data it is the second one.
func isSecretName(name string) bool {
	for part := range strings.SplitSeq(strings.ToLower(name), ".") {
		if slices.Contains(secretParameters, part) {
			return true
		}
		for _, end := range secretEnds {
			if strings.HasSuffix(part, end) {
				return true
			}
		}
	}
	return false
}

// hideInURL returns a text without what a URL has before its host and behind its path: a
// presigned Url grants what it names, whoever has it.
func hideInURL(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return hidden
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return text
	}
	u.User = nil
	if u.RawQuery != "" {
		u.RawQuery = hidden
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}

// isCredential reports whether a parameter of a query is part of its signature.
func isCredential(name string) bool {
	lower := strings.ToLower(name)
	return secretQuery[lower] || strings.HasPrefix(lower, "x-amz-") || strings.HasPrefix(lower, "signature") || lower == "securitytoken" || lower == "timestamp" || lower == "expires"
}

func lowerFirst(s string) string { return strings.ToLower(s[:min(1, len(s))]) + s[min(1, len(s)):] }
