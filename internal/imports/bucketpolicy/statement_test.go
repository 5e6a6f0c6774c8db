package bucketpolicy

import "testing"

func TestWhatIsPublic(t *testing.T) {
	for statement, want := range map[string]bool{
		`"Effect":"Allow","Principal":"*"`:                                                                                  true,
		`"Effect":"Allow","Principal":{"AWS":"*"}`:                                                                          true,
		`"Effect":"Allow","Principal":{"AWS":["1","*"]}`:                                                                    true,
		`"Effect":"Allow","Principal":{"AWS":"111111111111"}`:                                                               false,
		`"Effect":"Allow","Principal":{"Service":"x"}`:                                                                      false,
		`"Effect":"Deny","Principal":"*"`:                                                                                   false,
		`"Effect":"Allow","NotPrincipal":{"AWS":"1"}`:                                                                       true,
		`"Effect":"Allow","Principal":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}`:                              true,
		`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8"]}}`:                        false,
		`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","0.0.0.0/0"]}}`:            true,
		`"Effect":"Allow","Principal":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`:                       true,
		`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":["0.0.0.0/1","128.0.0.0/1"]}}`:           true,
		`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}`:                       false,
		`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"2000::/3"}}`:                            true,
		`"Effect":"Allow","Principal":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.1"}}`:                           false,
		`"Effect":"Allow","Principal":"*","Condition":{"NumericLessThan":{"aws:PrincipalAccount":"999999999999"}}`:          true,
		`"Effect":"Allow","Principal":"*","Condition":{"DateLessThan":{"aws:PrincipalAccount":"9999-01-01"}}`:               true,
		`"Effect":"Allow","Principal":"*","Condition":{"ForAnyValue:StringEquals":{"aws:PrincipalAccount":"111111111111"}}`: false,
		`"Effect":"Allow","Principal":"*","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::bucket"}}`:                  false,
		`"Effect":"Allow","Principal":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}`:             false,
		`"Effect":"Allow","Principal":"*","Condition":{"StringLike":{"aws:PrincipalArn":"*"}}`:                              true,
		`"Effect":"Allow","Principal":"*","Condition":{"StringEqualsIfExists":{"aws:PrincipalAccount":"1"}}`:                true,
	} {
		for _, text := range []string{`{"Statement":{` + statement + `}}`, `{"Statement":[{` + statement + `}]}`} {
			if got := IsPublic([]byte(text)); got != want {
				t.Errorf("%s: %t", text, got)
			}
		}
	}
}
