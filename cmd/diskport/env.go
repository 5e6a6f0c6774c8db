package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

type envCmd struct {
	JSON bool
}

func (c *envCmd) command(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "env",
		Short:   "Print settings for AWS clients: eval \"$(diskport env)\".",
		Example: "  eval \"$(diskport env)\"\n  aws ec2 describe-snapshots --owner-ids self",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	cmd.Flags().BoolVar(&c.JSON, "json", false, "Print JSON.")
	return cmd
}

// run prints what AWS clients need to talk to the service on the data directory,
// which need not be running.
func (c *envCmd) run(ctx context.Context, a *app) error {
	endpoint := a.Endpoint
	if file := a.endpointFile(); file != "" {
		endpoint = file
	}
	if endpoint == "" || strings.HasPrefix(a.dataFile("lock"), "command ") {
		return fmt.Errorf("no service has run on %s; start one with: diskport serve", a.Data)
	}
	provider, err := a.dataCredentials(ctx)
	if err != nil {
		return err
	}
	creds, err := provider.Retrieve(ctx)
	if err != nil {
		return err
	}
	endpoint, bundle := a.trust(endpoint)
	settings := [][2]string{
		{"AWS_ENDPOINT_URL", endpoint},
		{"AWS_ACCESS_KEY_ID", creds.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", creds.SecretAccessKey},
		{"AWS_REGION", a.ownRegion()},
		{"AWS_DEFAULT_REGION", a.ownRegion()},
	}
	if bundle != "" {
		settings = append(settings, [2]string{"AWS_CA_BUNDLE", bundle})
	}
	if c.JSON {
		m := map[string]string{}
		for _, kv := range settings {
			m[kv[0]] = kv[1]
		}
		return a.printJSON(m)
	}
	for _, kv := range settings {
		if _, err := fmt.Fprintf(a.stdout, "export %s=%s\n", kv[0], quote(kv[1])); err != nil {
			return err
		}
	}
	warnOldAWS(ctx, a, endpoint)
	return nil
}

// trust returns what AWS clients need to trust the certificate of the service on the data
// directory: an address with a name that it is for, and the file that AWS_CA_BUNDLE must name,
// or "" where they trust it anyway. It notes what is missing.
func (a *app) trust(endpoint string) (address, bundle string) {
	path := filepath.Join(a.Data, certificateFile)
	text, err := os.ReadFile(path)
	u, uerr := url.Parse(endpoint)
	leaf, chain := certificates(text)
	if err != nil || uerr != nil || leaf == nil || u.Scheme != "https" {
		return endpoint, ""
	}
	if name := nameOn(leaf); leaf.VerifyHostname(u.Hostname()) != nil && name != "" && leaf.VerifyHostname(name) == nil && u.Port() != "" {
		u.Host = net.JoinHostPort(name, u.Port())
	}
	between := x509.NewCertPool()
	for _, c := range chain {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Intermediates: between}); err == nil || os.Getenv("AWS_CA_BUNDLE") != "" {
		return u.String(), ""
	}
	if top := chain[len(chain)-1]; !bytes.Equal(top.RawIssuer, top.RawSubject) {
		a.note("# warning: the certificate of the service is signed by %q, whom this machine does not trust.", top.Issuer)
		a.note("# Set AWS_CA_BUNDLE to a file with the certificate of that authority.")
		return u.String(), ""
	}
	return u.String(), path
}

// quote quotes s as one word for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// warnOldAWS looks for an AWS CLI that does not know AWS_ENDPOINT_URL: it would
// talk to AWS itself.
func warnOldAWS(ctx context.Context, a *app, endpoint string) {
	out, err := exec.CommandContext(ctx, "aws", "--version").CombinedOutput()
	if err != nil {
		return // there is none
	}
	if version, old := oldAWS(string(out)); old {
		a.note("# warning: AWS CLI %s ignores AWS_ENDPOINT_URL and would talk to AWS itself.", version)
		a.note("# Use 2.13 or 1.29 and later, or give it: --endpoint-url %s", endpoint)
	}
}

var awsVersion = regexp.MustCompile(`^aws-cli/((\d+)\.(\d+)\.\S+)`)

// oldAWS reads what aws --version prints. AWS_ENDPOINT_URL came with 2.13 and 1.29.
func oldAWS(output string) (version string, old bool) {
	m := awsVersion.FindStringSubmatch(output)
	if m == nil {
		return "", false
	}
	major, _ := strconv.Atoi(m[2]) // the pattern allows digits only
	minor, _ := strconv.Atoi(m[3])
	return m[1], major < 1 || major == 1 && minor < 29 || major == 2 && minor < 13
}
