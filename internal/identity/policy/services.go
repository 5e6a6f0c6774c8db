package policy

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
)

//go:embed aws-services.txt
var servicesText string

// services are the names in aws-services.txt, sorted.
var services = slices.DeleteFunc(strings.Split(strings.TrimSpace(servicesText), "\n"), func(line string) bool {
	return strings.HasPrefix(line, "#")
})

var regionForm = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)

// isService reports whether AWS has the service that a principal names. Services have
// principals for what they do, such as delivery.logs.amazonaws.com, and some have one in
// each region. The few whose names do not end as those of AWS's services are not known by name.
func isService(principal string) bool {
	name, ok := strings.CutSuffix(strings.TrimSuffix(principal, ".cn"), ".amazonaws.com")
	if !ok {
		return strings.HasSuffix(principal, ".amazon.com") || strings.HasSuffix(principal, ".aws.internal")
	}
	labels := strings.Split(name, ".")
	if n := len(labels) - 1; n > 0 && regionForm.MatchString(labels[n]) {
		labels = labels[:n]
	}
	_, ok = slices.BinarySearch(services, labels[len(labels)-1])
	return ok
}

// checkServices refuses a principal that is a service which AWS does not have. What was
// stored before may name one.
func (d Document) checkServices() error {
	for _, s := range d.statements {
		for _, named := range []principals{s.principals, s.notPrincipals} {
			if i := slices.IndexFunc(named["Service"], func(p string) bool { return !isService(p) }); i >= 0 {
				return InvalidPrincipal("Service", named["Service"][i])
			}
		}
	}
	return nil
}
