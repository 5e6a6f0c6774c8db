package awshttp

import (
	"os"
	"regexp"
	"testing"
)

// TestTheAlertKnowsTheServersErrors: the code that each service has for what is its own
// fault, and none that clients cause.
func TestTheAlertKnowsTheServersErrors(t *testing.T) {
	rules, err := os.ReadFile("../../../deploy/monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`diskport_requests_total\{code=~"([^"]*)"`).FindSubmatch(rules)
	if found == nil {
		t.Fatal("no alert is about errors of requests")
	}
	alert := regexp.MustCompile("^(?:" + string(found[1]) + ")$") // as Prometheus matches
	for service, of := range refusals {
		if code := of[internal].Code; !alert.MatchString(code) {
			t.Errorf("%s says %s, which is not alerted of", service, code)
		}
		for _, why := range []refusal{missing, unknownKey, mismatch, expired, badForm, tooLarge} {
			if code := of[why].Code; alert.MatchString(code) {
				t.Errorf("%s says %s for what clients do wrong, which is alerted of", service, code)
			}
		}
	}
	for _, code := range []string{"KMSInternalException", "DependencyTimeoutException", "500", "Unavailable"} {
		if !alert.MatchString(code) {
			t.Errorf("%s is not alerted of", code)
		}
	}
}
