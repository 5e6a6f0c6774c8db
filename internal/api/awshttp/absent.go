package awshttp

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// absentError says that a request is signed for a service of AWS's that is not here.
type absentError struct{ service string }

func (e *absentError) Error() string { return "awshttp: no service " + e.service }

// serviceName is the form of the names in credential scopes.
var serviceName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// absent returns the error of a service that has no edge. What can't be the name of a
// service is a bad signature.
func absent(service string) error {
	if !serviceName.MatchString(service) {
		return mismatch
	}
	return &absentError{service}
}

// inXML are the services of AWS's whose errors are XML although their requests have
// paths instead of actions.
var inXML = map[string]bool{"cloudfront": true, "route53": true, "s3-object-lambda": true, "s3-outposts": true, "s3express": true}

// refuseAbsent answers in the protocol that the request is in: clients of a service
// that is not here parse no other.
func (c *Call) refuseAbsent(w http.ResponseWriter, r *http.Request, service string) {
	text := fmt.Sprintf("Diskport has no %s.", service)
	switch {
	case r.Header.Get("X-Amz-Target") != "":
		contentType := "application/x-amz-json-1.1"
		if strings.HasSuffix(r.Header.Get("Content-Type"), "json-1.0") {
			contentType = "application/x-amz-json-1.0"
		}
		c.failAs(w, failJSON(contentType), Fault{http.StatusBadRequest, "UnknownOperationException", text, ""})
	case isForm(r), r.URL.Query().Has("Action"):
		c.failAs(w, failQuery, Fault{http.StatusBadRequest, "InvalidAction", text, ""})
	case inXML[service]:
		c.failAs(w, failQuery, Fault{http.StatusNotImplemented, "NotImplemented", text, ""})
	default:
		c.failAs(w, failJSON("application/json"), Fault{http.StatusNotFound, "UnknownOperationException", text, ""})
	}
}

func (c *Call) failAs(w http.ResponseWriter, shape func(http.ResponseWriter, *Call, Fault), f Fault) {
	c.code = f.Code
	shape(w, c, f)
}
