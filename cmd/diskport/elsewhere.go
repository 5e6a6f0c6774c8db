package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Prefixes of the variables that hold the keys for services elsewhere. They are not
// AWS's own, since those often hold keys of Diskport itself.
const (
	envSource = "DISKPORT_SOURCE_"
	envKMS    = "DISKPORT_KMS_"
	envAudit  = "DISKPORT_AUDIT_"
	envStore  = "DISKPORT_STORE_"
)

// realAWS is the endpoint that stands for AWS's own.
const realAWS = "aws"

// validateElsewhere checks the settings of services elsewhere.
func (f *serviceFlags) validateElsewhere() error {
	if f.SourceSTS != "none" {
		if err := checkEndpoint("--source-sts", f.SourceSTS); err != nil {
			return err
		}
	}
	if f.SourceEndpoint == "" && (f.SourceSTS != "" || f.SourceRegion != "") {
		return errors.New("--source-sts and --source-region need --source-endpoint")
	}
	return errors.Join(checkEndpoint("--source-endpoint", f.SourceEndpoint), checkEndpoint("--kms-endpoint", f.KMSEndpoint))
}

func checkEndpoint(flag, endpoint string) error {
	if endpoint == "" || endpoint == realAWS {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s %q is neither aws nor http[s]://host[:port]", flag, endpoint)
	}
	return nil
}

// auditEndpoint returns where the bucket of the audit log is, if it is elsewhere: without an
// endpoint of its own it is at AWS.
func (f *serviceFlags) auditEndpoint() string {
	for _, place := range f.AuditLogs {
		u, err := url.Parse(place)
		if err == nil && u.Scheme == "s3" && u.RawQuery != "" {
			return cmp.Or(u.Query().Get("endpoint"), realAWS)
		}
	}
	return ""
}

// storeEndpoint returns where the bucket of the block store is, if it is in one: without an
// endpoint of its own it is at AWS.
func (f *serviceFlags) storeEndpoint() string {
	u, err := url.Parse(f.Store)
	if err != nil || u.Scheme != "s3" {
		return ""
	}
	return cmp.Or(u.Query().Get("endpoint"), realAWS)
}

// keysOf returns the keys for a service elsewhere; nil if there is none. For AWS
// they may also come from wherever the AWS SDK finds them.
func keysOf(ctx context.Context, prefix, endpoint string) (aws.CredentialsProvider, error) {
	if endpoint == "" {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	id, secret := os.Getenv(prefix+"ACCESS_KEY_ID"), os.Getenv(prefix+"SECRET_ACCESS_KEY")
	switch {
	case (id == "") != (secret == ""):
		return nil, &usageError{errors.New(prefix + "ACCESS_KEY_ID and " + prefix + "SECRET_ACCESS_KEY go together")}
	case id != "":
		return credentials.NewStaticCredentialsProvider(id, secret, os.Getenv(prefix+"SESSION_TOKEN")), nil
	case endpoint != realAWS:
		return nil, &usageError{errors.New(endpoint + " needs keys: " + prefix + "ACCESS_KEY_ID and " + prefix + "SECRET_ACCESS_KEY")}
	}
	found, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for AWS credentials: %w", err)
	}
	return found.Credentials, nil
}
