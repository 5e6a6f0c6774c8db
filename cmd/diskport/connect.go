package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go"

	"github.com/diskport/diskport/internal/client"
)

// session is a connection to a service, which may run in this process.
type session struct {
	*client.Client
	local *localService // nil when the service is another process
	data  string        // directory of a service on this machine; empty: it is elsewhere
}

// close ends a service that was started for the session, and waits for it.
func (s *session) close() error {
	if s.local == nil {
		return nil
	}
	return s.local.close()
}

// handOver hands an open file over to the service, if it is on this machine; see
// client.HandOver.
func (s *session) handOver(ctx context.Context, f *os.File, name string) (url string, done func(), err error) {
	switch {
	case s.local != nil:
		again, err := reopened(f)
		if err != nil {
			return "", nil, err
		}
		url, err := s.local.Handover(again, name)
		return url, func() {}, err
	case s.data != "":
		return client.HandOver(ctx, s.data, f, name)
	}
	return "", nil, client.ErrNoHandover
}

// with runs fn with a session: to the service that --endpoint names, else to the
// one that runs on the data directory, else to one that is started for fn alone.
func (a *app) with(ctx context.Context, fn func(*session) error) error {
	s, err := a.connect(ctx)
	if err != nil {
		return err
	}
	return errors.Join(withSpace(ctx, s, fn(s)), s.close())
}

func (a *app) connect(ctx context.Context) (*session, error) {
	if a.Endpoint != "" {
		return a.connectTo(ctx, a.Endpoint)
	}
	if endpoint := a.running(ctx); endpoint != "" {
		creds, err := a.dataCredentials(ctx)
		if err != nil {
			return nil, err
		}
		return &session{data: a.Data, Client: client.New(client.Config{Endpoint: endpoint, Region: a.clientRegion(), Credentials: creds})}, nil
	}
	return a.startLocal(ctx)
}

// startLocal starts a service for this command alone, with its settings changed.
func (a *app) startLocal(ctx context.Context, change ...func(*serviceFlags)) (*session, error) {
	region := a.clientRegion() // before the service changes the working directory
	local, err := a.newLocalService(ctx, change...)
	if err != nil {
		return nil, err
	}
	id, secret := local.Credentials()
	return &session{local: local, Client: client.New(client.Config{
		Endpoint:    local.Endpoint(),
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
	})}, nil
}

// connectTo returns a session with the service at an endpoint. The credentials come
// from where every AWS client finds them; for the service on the data directory
// they are its own when the environment has none.
func (a *app) connectTo(ctx context.Context, endpoint string) (*session, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	if err != nil {
		return nil, fmt.Errorf("loading AWS settings: %w", err)
	}
	c := client.Config{Endpoint: endpoint, Region: cmp.Or(a.Region, cfg.Region, a.ownRegion()), Credentials: cfg.Credentials}
	s := &session{}
	if strings.TrimRight(endpoint, "/") == a.endpointFile() {
		s.data = a.Data
	}
	if os.Getenv("AWS_ACCESS_KEY_ID") == "" && s.data != "" {
		if c.Credentials, err = a.dataCredentials(ctx); err != nil {
			return nil, err
		}
	}
	if err := checkCredentials(ctx, endpoint, c.Credentials); err != nil {
		return nil, err
	}
	if bundle, ok := cfg.HTTPClient.(interface{ GetTransport() *http.Transport }); ok {
		c.HTTP = &http.Client{Transport: bundle.GetTransport()} // knows AWS_CA_BUNDLE
	}
	s.Client = client.New(c)
	return s, nil
}

// checkCredentials says at once, and in plain words, that there are no credentials for
// an endpoint: the SDK would end with the instance role that it looks for last.
func checkCredentials(ctx context.Context, endpoint string, creds aws.CredentialsProvider) error {
	_, err := creds.Retrieve(ctx)
	var last *smithy.OperationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &last) && last.Service() == imds.ServiceID:
		return fmt.Errorf("there are no credentials for %s: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "+
			"for a service on this machine, eval \"$(diskport env)\" does", endpoint)
	}
	return fmt.Errorf("looking for credentials for %s: %w", endpoint, err)
}

// endpointFile returns what <data>/endpoint says, or "".
func (a *app) endpointFile() string { return a.dataFile("endpoint") }

// dataFile returns the line in a file of the data directory, or "".
func (a *app) dataFile(name string) string {
	text, err := os.ReadFile(filepath.Join(a.Data, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// ownRegion returns the own region of the service on the data directory.
func (a *app) ownRegion() string { return cmp.Or(a.Region, a.dataFile("region"), "us-east-1") }

// clientRegion returns the region that a command is about, on the data directory.
func (a *app) clientRegion() string {
	return cmp.Or(a.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), a.ownRegion())
}

// running returns the endpoint of the service that runs on the data directory, or
// "". A service that was killed leaves its file behind, so the endpoint is tried.
func (a *app) running(ctx context.Context) string {
	endpoint := a.endpointFile()
	if endpoint == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/-/live", nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return endpoint
}

// dataCredentials returns the root keys of the service on the data directory. One of many
// nodes keeps none there: then they are those that it is given itself.
func (a *app) dataCredentials(ctx context.Context) (aws.CredentialsProvider, error) {
	path := filepath.Join(a.Data, "credentials")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && os.Getenv(envRootKeyID) != "" {
		return credentials.NewStaticCredentialsProvider(os.Getenv(envRootKeyID), os.Getenv(envRootSecret), ""), nil
	}
	shared, err := config.LoadSharedConfigProfile(ctx, "default", func(o *config.LoadSharedConfigOptions) {
		o.CredentialsFiles = []string{path}
		o.ConfigFiles = []string{}
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return credentials.StaticCredentialsProvider{Value: shared.Credentials}, nil
}
