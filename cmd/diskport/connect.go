package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
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

// with runs fn with a session: to the service that --endpoint names, else to the one that
// runs on the data directory, if only for another command, else to one that is started for fn
// alone.
func (a *app) with(ctx context.Context, fn func(*session) error) error {
	return a.withService(ctx, a.isRunning, fn)
}

// withLasting is with for what takes long: the service of another command would end with that,
// so its end is waited for.
func (a *app) withLasting(ctx context.Context, fn func(*session) error) error {
	return a.withService(ctx, a.isServing, fn)
}

func (a *app) withService(ctx context.Context, usable func(context.Context) (string, error), fn func(*session) error) error {
	s, err := a.connect(ctx, usable)
	if err != nil {
		return err
	}
	return errors.Join(withSpace(ctx, s, fn(s)), s.close())
}

// turn is how often a command looks whether the one before it has ended, and startUp how often
// it does so while what has the data directory does not answer: it may be starting, or ending.
const (
	turn    = 200 * time.Millisecond
	startUp = 50
)

// connect returns a session: to the service that --endpoint names, else to one on the data
// directory that usable returns the endpoint of, else to one that is started now.
func (a *app) connect(ctx context.Context, usable func(context.Context) (string, error)) (*session, error) {
	if a.Endpoint != "" {
		return a.connectTo(ctx, a.Endpoint)
	}
	for looked := 0; ; looked++ {
		endpoint, err := usable(ctx)
		if err != nil {
			return nil, err
		}
		if endpoint != "" {
			return a.connectToData(ctx, endpoint)
		}
		s, err := a.startLocal(ctx)
		var busy *busyError
		switch {
		case !errors.As(err, &busy), !busy.command && looked >= startUp:
			return s, err
		case busy.command && looked == 0:
			a.note("waiting for another diskport on %s (%s) to end", a.Data, busy.holder)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(turn):
		}
	}
}

// connectToData returns a session with the service that runs on the data directory.
func (a *app) connectToData(ctx context.Context, endpoint string) (*session, error) {
	creds, err := a.dataCredentials(ctx)
	if err != nil {
		return nil, err
	}
	return &session{data: a.Data, Client: client.New(client.Config{Endpoint: endpoint, Region: a.clientRegion(), Credentials: creds, HTTP: a.dataHTTP(), UserAgent: userAgent()})}, nil
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
		UserAgent:   userAgent(),
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
	c := client.Config{Endpoint: endpoint, Region: cmp.Or(a.Region, cfg.Region, a.ownRegion()), Credentials: cfg.Credentials, UserAgent: userAgent()}
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
	if s.data != "" {
		c.HTTP = a.dataHTTP()
	} else if bundle, ok := cfg.HTTPClient.(interface{ GetTransport() *http.Transport }); ok {
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

// isRunning returns the endpoint of the service that runs on the data directory, for a command
// or by itself, or "". A service that was killed leaves its file behind, so the endpoint is
// tried.
func (a *app) isRunning(ctx context.Context) (string, error) {
	endpoint := a.endpointFile()
	if endpoint == "" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/-/live", nil)
	if err != nil {
		return "", nil //nolint:nilerr // what is in the file is no address
	}
	resp, err := a.dataHTTP().Do(req)
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return "", fmt.Errorf("the service on %s is at %s, and its certificate can't be trusted: %w\n"+
			"Name another address of it with --endpoint, or a file with the certificate of who signed it with AWS_CA_BUNDLE beside --endpoint", a.Data, endpoint, untrusted.Err)
	}
	if err != nil {
		return "", nil //nolint:nilerr // nothing answers there
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", nil
	}
	return endpoint, nil
}

// isServing is isRunning for a service that is no other command's.
func (a *app) isServing(ctx context.Context) (string, error) {
	if strings.HasPrefix(a.dataFile("lock"), "command ") {
		return "", nil
	}
	return a.isRunning(ctx)
}

// dataHTTP returns an HTTP client for the service on the data directory. It knows the service
// by the certificates that this has put there, whoever signed them.
func (a *app) dataHTTP() *http.Client {
	text, err := os.ReadFile(filepath.Join(a.Data, certificateFile))
	if err != nil {
		return &http.Client{}
	}
	leaf, chain := certificates(text)
	if leaf == nil {
		return &http.Client{}
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, c := range chain {
		roots.AddCert(c)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, ServerName: nameOn(leaf), MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}
}

// certificateFile is what a service that speaks https puts its certificates into.
const certificateFile = "certificate.pem"

// certificates reads a chain; the first is the service's own.
func certificates(text []byte) (leaf *x509.Certificate, chain []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			chain = append(chain, c)
		}
	}
	if len(chain) > 0 {
		leaf = chain[0]
	}
	return leaf, chain
}

// nameOn returns a name that a certificate is for, or "".
func nameOn(c *x509.Certificate) string {
	for _, name := range c.DNSNames {
		return strings.Replace(name, "*", "any", 1)
	}
	for _, ip := range c.IPAddresses {
		return ip.String()
	}
	return ""
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
