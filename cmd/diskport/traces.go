package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// The variables of OpenTelemetry that say where traces go. They count for --trace-endpoint
// too, which says it itself. What else OpenTelemetry has variables for (sampling, batches,
// the resource), its library reads.
const (
	envOTLP       = "OTEL_EXPORTER_OTLP_"
	envOTLPTraces = "OTEL_EXPORTER_OTLP_TRACES_"
)

// traceSettings are those of server.Traces.
type traceSettings struct {
	URL     string
	Headers map[string]string
	Timeout time.Duration
	Client  *http.Client
}

// tracesPath is where receivers take traces.
const tracesPath = "/v1/traces"

// otlpSetting returns a setting of the exporter, of which that for traces alone counts.
func otlpSetting(name string) string {
	if v := os.Getenv(envOTLPTraces + name); v != "" {
		return v
	}
	return os.Getenv(envOTLP + name)
}

// traces returns where traces are sent: to --trace-endpoint, or where the environment says.
func (f *serviceFlags) traces() (traceSettings, error) {
	if f.noTraces {
		return traceSettings{}, nil
	}
	at := f.TraceEndpoint
	if at == "" {
		if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
			return traceSettings{}, nil
		}
		at = os.Getenv(envOTLPTraces + "ENDPOINT")
		if base := os.Getenv(envOTLP + "ENDPOINT"); at == "" && base != "" {
			at = strings.TrimSuffix(base, "/") + tracesPath
		}
		if at == "" {
			return traceSettings{}, nil
		}
		if p := otlpSetting("PROTOCOL"); p != "" && p != "http/protobuf" {
			return traceSettings{}, fmt.Errorf("%sPROTOCOL is %q: traces are sent as http/protobuf; set it to that, or OTEL_TRACES_EXPORTER to none", envOTLPTraces, p)
		}
	}
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return traceSettings{}, errors.New("--trace-endpoint: traces can be sent to an http or https address alone") // without it: it may hold a token
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	out := traceSettings{URL: u.String()}
	if out.Headers, err = otlpHeaders(otlpSetting("HEADERS")); err != nil {
		return out, err
	}
	if text := otlpSetting("TIMEOUT"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 32)
		if err != nil || ms <= 0 {
			return out, fmt.Errorf("%sTIMEOUT is %q, and no number of milliseconds", envOTLPTraces, text)
		}
		out.Timeout = time.Duration(ms) * time.Millisecond
	}
	out.Client, err = otlpClient(otlpSetting("CERTIFICATE"))
	return out, err
}

// otlpHeaders reads a list of headers, as in key=value,key=value with values of URLs.
func otlpHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, errors.New(envOTLPTraces + "HEADERS is no list of name=value")
		}
		headers[name] = value
	}
	return headers, nil
}

// otlpClient returns a client that trusts the certificates in a file; nil if there is none.
func otlpClient(file string) (*http.Client, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%sCERTIFICATE: %w", envOTLPTraces, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%sCERTIFICATE: %s has no certificate", envOTLPTraces, file)
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, IdleConnTimeout: time.Minute,
		},
	}, nil
}
