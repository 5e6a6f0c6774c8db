package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestMapPrincipals(t *testing.T) {
	change := func(p string) (string, error) {
		if p == "arn:aws:iam::111111111111:user/bad" {
			return "", errors.New("bad")
		}
		return strings.ReplaceAll(p, "arn:aws:iam::111111111111:user/ann", `AIDA"<1`), nil
	}
	const ann = `"arn:aws:iam::111111111111:user/ann"`
	statement := func(rest string) string {
		return `{ "Version": "2012-10-17", "Statement" : [{"Effect":"Allow",` + rest + `,"Action":"sts:AssumeRole"}] }`
	}
	for name, c := range map[string]struct{ text, want string }{
		"one":            {statement(`"Principal":{"AWS":` + ann + `}`), statement(`"Principal":{"AWS":"AIDA\"<1"}`)},
		"several":        {statement(`"Principal":{"AWS":["*",` + ann + ` , ` + ann + `]}`), statement(`"Principal":{"AWS":["*","AIDA\"<1" , "AIDA\"<1"]}`)},
		"NotPrincipal":   {statement(`"NotPrincipal" : { "AWS" : ` + ann + ` }`), statement(`"NotPrincipal" : { "AWS" : "AIDA\"<1" }`)},
		"escaped":        {statement(`"Principal":{"AWS":"arn:aws:iam::111111111111:user\u002fann"}`), statement(`"Principal":{"AWS":"AIDA\"<1"}`)},
		"everybody":      {statement(`"Principal":"*"`), statement(`"Principal":"*"`)},
		"a service":      {statement(`"Principal":{"Service":` + ann + `}`), statement(`"Principal":{"Service":` + ann + `}`)},
		"a condition":    {statement(`"Principal":"*","Condition":{"ArnEquals":{"aws:PrincipalArn":` + ann + `}}`), statement(`"Principal":"*","Condition":{"ArnEquals":{"aws:PrincipalArn":` + ann + `}}`)},
		"a lone one":     {`{"Statement":{"Principal":{"AWS":` + ann + `}}}`, `{"Statement":{"Principal":{"AWS":"AIDA\"<1"}}}`},
		"at the top":     {`{"Principal":{"AWS":` + ann + `}}`, `{"Principal":{"AWS":` + ann + `}}`},
		"in an Id":       {`{"Id":` + ann + `}`, `{"Id":` + ann + `}`},
		"one that fails": {statement(`"Principal":{"AWS":"arn:aws:iam::111111111111:user/bad"}`), ""},
		"cut":            {`{"Statement":{"Principal":{"AWS":`, ""},
		"deep":           {strings.Repeat(`{"a":`, 20) + "1" + strings.Repeat("}", 20), ""},
	} {
		got, err := MapPrincipals(c.text, change)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: got %s, %v; want %s", name, got, err, c.want)
		}
	}
}
